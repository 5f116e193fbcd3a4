//! What every request needs, and the instances that serve them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use slipway_shim_options::Http;
use tokio::sync::oneshot;
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::handler::{Proxy, ProxyPre};
use wasmtime_wasi_http::p2::body::HostOutgoingBody;

use super::admission::Admission;
use super::call;
use super::endings::Endings;
use super::progress::{Arriving, Patience, Progress, Stuck};
use super::request::Told;
use crate::Invocation;
use crate::host::{Common, ComponentHost};
use crate::memory::{Budget, Share};

/// How long an instance that may serve again is kept without a request, as `wasmtime serve` does by a second.
const SPARE: Duration = Duration::from_secs(1);

/// What every request needs.
pub(super) struct Handler {
    pub(super) engine: Engine,
    pub(super) pre: ProxyPre<ComponentHost>,
    pub(super) invocation: Invocation,
    pub(super) common: Common,
    pub(super) budget: Arc<Budget>,
    pub(super) admission: Arc<Admission>,
    pub(super) patience: Patience,
    pub(super) idle_timeout: Option<Duration>,
    /// How many requests an instance serves.
    pub(super) reuse: u32,
    pub(super) spare: Mutex<Vec<Instance>>,
    pub(super) requests: AtomicU64,
    pub(super) endings: Endings,
}

/// An instance of the guest.
pub(super) struct Instance {
    store: Store<ComponentHost>,
    proxy: Proxy,
    served: u32,
    free_since: Instant,
}

impl Instance {
    /// Whether there is a body that the guest has not finished. Of WASI 0.3 nobody can tell.
    fn owes_an_end(&mut self) -> bool {
        match self.proxy {
            Proxy::P2(_) => {
                let mut resources = self.store.data_mut().table.iter_mut();
                // Finishing one takes it out of the table (`outgoing-body.finish`).
                resources.any(|resource| resource.is::<HostOutgoingBody>())
            }
            Proxy::P3(_) => true,
        }
    }
}

impl Handler {
    /// Has the guest answer a request, to its end.
    pub(super) async fn call(
        &self,
        request: Request<Arriving<Incoming>>,
        progress: &Progress,
        answer: oneshot::Sender<Told>,
    ) -> wasmtime::Result<()> {
        // The last that is dropped, also when this is given up.
        let _ending = self.endings.one();
        let id = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut instance = match self.take_spare() {
            Some(instance) => instance,
            None => self.instantiate(id).await?,
        };
        let store = &mut instance.store;
        let result = match &instance.proxy {
            Proxy::P2(proxy) => call::p2(store, proxy, request, answer).await,
            Proxy::P3(service) => call::p3(store, service, request, answer).await,
        };
        self.admission.learn(store.data().memory.footprint());
        match &result {
            Ok(()) => self.keep(instance),
            // One that has trapped cannot be entered again; and before the body goes with it:
            Err(_) if instance.owes_an_end() => progress.fail(),
            Err(_) => {}
        }
        result
    }

    async fn instantiate(&self, id: u64) -> wasmtime::Result<Instance> {
        let share = Share::of(&self.budget);
        let host = ComponentHost::request(&self.invocation, &self.common, share, id);
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.memory);
        // A turn, then the others'.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let proxy = self.pre.instantiate_async(&mut store).await?;
        store.data_mut().memory.started();
        Ok(Instance {
            store,
            proxy,
            served: 0,
            free_since: Instant::now(),
        })
    }

    fn take_spare(&self) -> Option<Instance> {
        if self.reuse == 1 {
            return None;
        }
        self.spare().pop()
    }

    fn keep(&self, mut instance: Instance) {
        instance.served += 1;
        if instance.served < self.reuse {
            instance.free_since = Instant::now();
            self.spare().push(instance);
        }
    }

    /// Lets go of instances that have not been needed for a while.
    fn let_go(&self) {
        let mut spare = self.spare();
        // The one that became free last is taken first, so the others are in order.
        let old = spare.partition_point(|instance| instance.free_since.elapsed() >= SPARE);
        let old: Vec<_> = spare.drain(..old).collect();
        drop(spare);
        self.endings.add(old.len() as u64);
    }

    /// For ever: lets go of instances that are not needed, and calls `give_back` when there may be something to give back.
    pub(super) async fn look_after(&self, give_back: impl Fn()) -> ! {
        let tidy = || self.let_go();
        self.endings.look_after(SPARE, tidy, give_back).await
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the log says about a request that got stuck.
    pub(super) fn given_up(&self, stuck: Stuck) -> String {
        let time = |limit: Option<Duration>| limit.unwrap_or_default();
        match stuck {
            Stuck::Unanswered => format!(
                "no answer within {:?}, so the guest was ended (http-request-timeout)",
                time(self.patience.request)
            ),
            Stuck::Answering => format!(
                "the answer did not go on for {:?}, so the guest was ended (http-idle-timeout)",
                time(self.patience.idle)
            ),
            Stuck::AfterAnswer => format!(
                "not done {:?} after its answer, so the guest was ended (http-request-timeout)",
                time(self.patience.request)
            ),
        }
    }
}

/// The most requests that are worked on at once, and so instances.
pub(super) fn most(http: &Http) -> u32 {
    http.concurrency.map_or(
        slipway_shim_engine::config::SLOTS,
        std::num::NonZeroU32::get,
    )
}
