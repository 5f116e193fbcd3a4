//! HTTP servers: an instance for each request.

mod listen;
mod request;
mod serve;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use slipway_shim_engine::{Wasi, config, imports};
use tokio::sync::Semaphore;
use wasmtime::component::InstancePre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::host::{ComponentHost, Output};
use crate::memory::Budget;
use crate::{Ending, Invocation, signals};

pub(crate) use listen::Listen;

/// A server that is ready to listen.
pub(crate) struct Server {
    listen: Listen,
    handler: Arc<Handler>,
}

/// What every request needs.
struct Handler {
    pre: ProxyPre<ComponentHost>,
    invocation: Invocation,
    output: Output,
    budget: Arc<Budget>,
    /// As many as the pool has.
    slots: Arc<Semaphore>,
    requests: AtomicU64,
}

impl Server {
    /// # Errors
    /// What the user is told when the address cannot be read or the component does not fit its world.
    pub(crate) fn new(
        pre: InstancePre<ComponentHost>,
        wasi: Wasi,
        invocation: &Invocation,
        output: Output,
        budget: Arc<Budget>,
    ) -> Result<Self, String> {
        if wasi == Wasi::P3 {
            return Err(
                "is a server of WASI 0.3, which is not served yet; build it for WASI 0.2"
                    .to_owned(),
            );
        }
        let listen = Listen::from_env(|name| invocation.variable(name))?;
        signals::take_turns(pre.engine()).map_err(|error| format!("setting a timer: {error}"))?;
        let handler = Handler {
            pre: ProxyPre::new(pre).map_err(|error| imports::mismatch(&error))?,
            invocation: invocation.clone(),
            output,
            budget,
            slots: Arc::new(Semaphore::new(config::SLOTS as usize)),
            requests: AtomicU64::new(0),
        };
        Ok(Self {
            listen,
            handler: Arc::new(handler),
        })
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
