//! HTTP servers: HTTP/1.1 and HTTP/2 without TLS on one port, an instance for each request.
//!
//! ```text
//! serve        accepting, and draining when told to stop
//! crowd        how many connections there are, and who makes room
//! connection   one connection: stream (its bytes), motion (when it last moved)
//! request      one request: admission (its turn), progress (how far its answer is)
//! handler      instances of the guest, and call: what is asked of them
//! endings      when there is memory to give back
//! ```

mod admission;
mod call;
mod connection;
mod crowd;
mod endings;
mod handler;
mod listen;
mod motion;
mod progress;
mod request;
mod serve;
mod stream;
mod threads;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use slipway_shim_engine::{Wasi, imports};
use wasmtime::component::InstancePre;
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2, p3};

use crate::host::{Common, ComponentHost};
use crate::memory::Budget;
use crate::{Ending, Invocation, signals};

use admission::Admission;
use endings::Endings;
use handler::Handler;
pub(crate) use listen::Listen;
use progress::Patience;

/// A server that is ready to listen.
pub(crate) struct Server {
    listen: Listen,
    handler: Arc<Handler>,
}

impl Server {
    /// # Errors
    /// What the user is told when the address cannot be read or the component does not fit its world.
    pub(crate) fn new(
        pre: InstancePre<ComponentHost>,
        wasi: Wasi,
        invocation: &Invocation,
        common: Common,
        budget: Arc<Budget>,
    ) -> Result<Self, String> {
        let listen = Listen::from_env(|name| invocation.variable(name))?;
        signals::take_turns(pre.engine()).map_err(|error| format!("setting a timer: {error}"))?;
        let engine = pre.engine().clone();
        let pre = match wasi {
            Wasi::P2 => p2::bindings::ProxyPre::new(pre).map(ProxyPre::P2),
            Wasi::P3 => p3::bindings::ServicePre::new(pre).map(ProxyPre::P3),
        };
        let pre = pre.map_err(|error| imports::mismatch(&error))?;
        let http = &invocation.options.http;
        // Who chose a number does not want another.
        let bound = http.concurrency.is_none().then(|| Arc::clone(&budget));
        let most = handler::most(http) as usize;
        let handler = Handler {
            engine,
            pre,
            invocation: invocation.clone(),
            common,
            budget,
            admission: Arc::new(Admission::new(most, bound, http.request_timeout)),
            patience: Patience {
                request: http.request_timeout,
                idle: http.idle_timeout,
            },
            idle_timeout: http.idle_timeout,
            reuse: http.reuse.get(),
            spare: Mutex::new(Vec::new()),
            requests: AtomicU64::new(0),
            endings: Endings::default(),
        };
        Ok(Self {
            listen,
            handler: Arc::new(handler),
        })
    }

    /// How many requests a server with these options works on at once at most.
    pub(crate) fn slots(invocation: &Invocation) -> u32 {
        handler::most(&invocation.options.http)
    }

    /// How many threads it is to run in. They are to be started when the process is sealed: seccomp filters
    /// are a thread's own.
    pub(crate) fn threads(invocation: &Invocation) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        threads::count(invocation.milli_cpus, processors)
    }

    /// Listens until a signal says to stop, then answers what has been asked and ends.
    pub(crate) async fn run(self, invocation: &Invocation) -> Ending {
        let address = self.listen.address;
        let path = invocation.path();
        match serve::serve(&self.listen, &self.handler).await {
            Ok(()) => Ending::exit(0),
            Err(error) => Ending::not_runnable(path, format!("listening on {address}: {error}")),
        }
    }
}
