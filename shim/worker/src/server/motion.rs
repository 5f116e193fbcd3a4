//! When a connection last moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// What keeps a connection alive: bytes, either way, and requests that the guest has not answered yet.
#[derive(Debug)]
pub(super) struct Motion {
    begun: Instant,
    /// Nanoseconds since then.
    last: AtomicU64,
    waiting: AtomicUsize,
    /// Answers that have begun, and of which the guest owes the next part.
    owed: AtomicUsize,
    /// Requests whose answers are not complete.
    serving: AtomicUsize,
    leave: watch::Sender<bool>,
}

impl Motion {
    pub(super) fn new() -> Self {
        Self::begun(Duration::ZERO)
    }

    /// Of a connection that has not moved since it began so long ago.
    pub(super) fn begun(ago: Duration) -> Self {
        let now = Instant::now();
        Self {
            begun: now.checked_sub(ago).unwrap_or(now),
            last: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            owed: AtomicUsize::new(0),
            serving: AtomicUsize::new(0),
            leave: watch::Sender::new(false),
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
        Duration::from_nanos(self.now().saturating_sub(self.last.load(Ordering::Relaxed)))
    }

    /// For how long nothing has moved though it could have; not at all while a client waits for the guest, be it in the
    /// middle of an answer.
    pub(super) fn stillness(&self) -> Duration {
        if self.owed.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.silence()
    }

    /// A request is served until the value is dropped.
    pub(super) fn serve(self: &Arc<Self>) -> Serving {
        self.serving.fetch_add(1, Ordering::Relaxed);
        Serving {
            motion: Arc::clone(self),
            owing: false,
        }
    }

    /// For how long nothing has moved, if no request is being served.
    pub(super) fn idle(&self) -> Option<Duration> {
        (self.serving.load(Ordering::Relaxed) == 0).then(|| self.silence())
    }

    /// Asks the connection to end as if the server did: after what has begun.
    pub(super) fn ask_to_leave(&self) {
        self.leave.send_replace(true);
    }

    pub(super) fn is_asked_to_leave(&self) -> bool {
        *self.leave.borrow()
    }

    pub(super) async fn asked_to_leave(&self) {
        // There is no error while the sender, which is here, lives.
        let _ = self.leave.subscribe().wait_for(|leave| *leave).await;
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
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

/// See [`Motion::serve`].
pub(super) struct Serving {
    motion: Arc<Motion>,
    owing: bool,
}

impl Serving {
    /// Whether the guest owes the next part of the answer now.
    pub(super) fn owes(&mut self, owing: bool) {
        if self.owing == owing {
            return;
        }
        self.owing = owing;
        if owing {
            self.motion.owed.fetch_add(1, Ordering::Relaxed);
        } else {
            self.motion.moved();
            self.motion.owed.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.owes(false);
        self.motion.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends when nothing has moved for so long.
pub(super) async fn silent_for(motion: &Motion, limit: Duration) {
    reaches(limit, || motion.silence()).await;
}

/// Ends when nothing has moved for so long, and no guest owes anything.
pub(super) async fn still_for(motion: &Motion, limit: Duration) {
    reaches(limit, || motion.stillness()).await;
}

async fn reaches(limit: Duration, silence: impl Fn() -> Duration) {
    loop {
        let silence = silence();
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
        let motion = Motion::begun(Duration::from_secs(60));
        assert!(motion.silence() >= Duration::from_secs(60));
        let waiting = motion.wait();
        assert_eq!(motion.silence(), Duration::ZERO);
        drop(waiting);
        assert!(motion.silence() < Duration::from_secs(60));
    }

    #[test]
    fn an_answer_of_which_the_guest_owes_a_part_is_silence_but_no_stillness() {
        let minute = Duration::from_secs(60);
        let motion = Arc::new(Motion::begun(minute));
        let (mut one, mut other) = (motion.serve(), motion.serve());
        assert!(motion.stillness() >= minute);
        one.owes(true);
        one.owes(true);
        other.owes(true);
        assert!(motion.silence() >= minute);
        one.owes(false);
        assert_eq!(motion.stillness(), Duration::ZERO);
        // As when its client has gone.
        drop(other);
        assert!(motion.stillness() < minute);
        motion.last.store(0, Ordering::Relaxed);
        assert!(motion.stillness() >= minute);
    }
}
