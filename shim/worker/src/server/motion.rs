//! When a connection last moved.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What keeps a connection alive: bytes, either way, and requests that the guest has not answered yet.
#[derive(Debug)]
pub(super) struct Motion {
    begun: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
    waiting: AtomicUsize,
}

impl Motion {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            last: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Bytes have come or gone.
    pub(super) fn moved(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    /// The client waits for the guest until the value is dropped.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// For how long nothing has moved; not at all while a client waits for the guest.
    pub(super) fn silence(&self) -> Duration {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(self.now().saturating_sub(self.last.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// See [`Motion::wait`].
pub(super) struct Waiting<'a>(&'a Motion);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.moved();
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends when nothing has moved for so long.
pub(super) async fn silent_for(motion: &Motion, limit: Duration) {
    loop {
        let silence = motion.silence();
        // A millisecond more than left, since a timer may be early by less.
        match limit.checked_sub(silence) {
            None | Some(Duration::ZERO) => return,
            Some(left) => tokio::time::sleep(left + Duration::from_millis(1)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_waits_is_no_silence() {
        let motion = Motion {
            begun: Instant::now() - Duration::from_secs(60),
            last: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        };
        assert!(motion.silence() >= Duration::from_secs(60));
        let waiting = motion.wait();
        assert_eq!(motion.silence(), Duration::ZERO);
        drop(waiting);
        assert!(motion.silence() < Duration::from_secs(60));
    }
}
