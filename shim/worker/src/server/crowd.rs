//! How many connections there are, and which of them makes room for the next.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::motion::Motion;

/// Connections at a time; more wait in the backlog.
const CONNECTIONS: usize = 1024;
/// The memory that a connection is taken to need at most, if its client does its worst: two heads, and what it
/// was sent ahead.
const CONNECTION: usize = 128 << 10;
/// And the fewest at a time, however little memory there is.
const FEWEST: usize = 64;
/// How long a connection without a request has to be silent before it may have to go: the next request of a busy client
/// comes sooner.
const IDLE: Duration = Duration::from_secs(1);
/// How long one that was asked to leave is waited for before the next is asked, too.
const PATIENCE: Duration = Duration::from_millis(100);

/// All connections.
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    most: usize,
    members: Mutex<Vec<Weak<Motion>>>,
}

impl Crowd {
    /// As many as fit into this memory, if it is bounded.
    pub(super) fn new(memory: Option<usize>) -> Self {
        let most = memory.map_or(CONNECTIONS, |bytes| bytes / CONNECTION);
        Self::of(most.clamp(FEWEST, CONNECTIONS))
    }

    fn of(most: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most)),
            most,
            members: Mutex::new(Vec::new()),
        }
    }

    /// Waits for a place, for which those without a request have to go: clients keep connections open that they do not
    /// need, and a probe must not wait for them.
    pub(super) async fn place(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                return place;
            }
            if let Some(idle) = self.longest_idle() {
                idle.ask_to_leave();
            }
            let place = Arc::clone(&self.places).acquire_owned();
            if let Ok(Ok(place)) = tokio::time::timeout(PATIENCE, place).await {
                return place;
            }
        }
    }

    /// Another connection.
    pub(super) fn join(&self, motion: &Arc<Motion>) {
        let mut members = self.members();
        if members.len() >= 2 * self.most {
            without_gone(&mut members);
        }
        members.push(Arc::downgrade(motion));
    }

    /// Forgets those that are gone.
    pub(super) fn forget(&self) {
        let mut members = self.members();
        without_gone(&mut members);
        members.shrink_to_fit();
    }

    /// The one that has been without a request, and silent, for longest, and was not asked yet.
    fn longest_idle(&self) -> Option<Arc<Motion>> {
        let members = self.members();
        let idle = members
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|member| !member.is_asked_to_leave())
            .filter_map(|member| Some((member.idle()?, member)));
        idle.filter(|(time, _)| *time >= IDLE)
            .max_by_key(|(time, _)| *time)
            .map(|(_, member)| member)
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Motion>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn without_gone(members: &mut Vec<Weak<Motion>>) {
    members.retain(|member| member.strong_count() > 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds_ago(seconds: u64) -> Arc<Motion> {
        Arc::new(Motion::begun(Duration::from_secs(seconds)))
    }

    #[test]
    fn memory_bounds_it() {
        let most = |memory| Crowd::new(memory).most;
        assert_eq!(most(None), 1024);
        assert_eq!(most(Some(16 << 20)), 128);
        assert_eq!(most(Some(0)), 64);
    }

    #[tokio::test]
    async fn the_one_that_is_idle_longest_makes_room() {
        let crowd = Crowd::of(1);
        let place = crowd.place().await;
        let [busy, long, short, fresh] = [40, 30, 20, 0].map(seconds_ago);
        let _serving = busy.serve();
        for member in [&busy, &short, &long, &fresh] {
            crowd.join(member);
        }
        let leaving = Arc::clone(&long);
        let goes = tokio::spawn(async move {
            leaving.asked_to_leave().await;
            drop(place);
        });
        drop(crowd.place().await);
        goes.await.unwrap();
        let asked = [&busy, &short, &fresh].map(|member| member.is_asked_to_leave());
        assert_eq!(asked, [false; 3]);
        assert!(long.is_asked_to_leave());
    }

    #[test]
    fn those_that_are_gone_are_forgotten() {
        let crowd = Crowd::of(4);
        for _ in 0..100 {
            crowd.join(&seconds_ago(0));
        }
        assert!(crowd.members().len() <= 8);
    }
}
