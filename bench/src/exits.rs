//! When containerd says that a container has ended: the events that a kubelet follows (`GetContainerEvents`).

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use slipway_e2e_cri::cri::{ContainerEventResponse, ContainerEventType, Empty};
use slipway_e2e_cri::runtime::Runtime;

/// The endings seen so far.
#[derive(Debug, Default)]
pub(crate) struct Exits {
    seen: Mutex<Seen>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    at: HashMap<String, Instant>,
    over: Option<String>,
}

impl Exits {
    /// Follows containerd's events from a thread of its own.
    ///
    /// # Errors
    /// When containerd does not answer.
    pub(crate) fn follow(runtime: &Runtime) -> Result<Arc<Self>> {
        let mut connection = runtime.connection().context("container events")?;
        let exits = Arc::new(Self::default());
        let told = Arc::clone(&exits);
        std::thread::spawn(move || {
            let path = "/runtime.v1.RuntimeService/GetContainerEvents";
            let over = connection.follow(path, &Empty {}, |event: ContainerEventResponse| {
                let now = Instant::now();
                if event.container_event_type() == ContainerEventType::Stopped {
                    told.seen().at.insert(event.container_id, now);
                    told.more.notify_all();
                }
                ControlFlow::Continue(())
            });
            let why = over.err().map_or_else(|| "ended".into(), |e| e.to_string());
            told.seen().over = Some(why);
            told.more.notify_all();
        });
        Ok(exits)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a container has ended, says when that was told, and forgets it.
    ///
    /// # Errors
    /// When that does not come in time, or nothing comes any more.
    pub(crate) fn wait(&self, container: &str, limit: Duration) -> Result<Instant> {
        let deadline = Instant::now() + limit;
        let mut seen = self.seen();
        loop {
            if let Some(at) = seen.at.remove(container) {
                return Ok(at);
            }
            if let Some(why) = &seen.over {
                bail!("container events: {why}");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("no event tells within {limit:?} that {container} has ended");
            }
            let woken = self.more.wait_timeout(seen, left);
            seen = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
