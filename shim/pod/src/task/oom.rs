//! Kills for want of memory, told when they happen: they may hit any process of the container, not only its first.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use slipway_shim_cgroup::OomWatch;

/// How soon an announced kill is asked for again, and how late for the last time; each time twice as late.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_secs(2);

/// A container's watch.
#[derive(Debug)]
pub struct Oom {
    watch: OomWatch,
    /// cgroup v1 announces kills before it counts them: when to ask again, and the time between.
    again: Option<(Instant, Duration)>,
}

impl Oom {
    /// Looks at what the kernel told, and returns whether it has killed since last asked.
    pub fn killed(&mut self, now: Instant) -> bool {
        let killed = self.watch.killed();
        self.again = self.watch.is_expecting().then(|| {
            let delay = self.again.map_or(FIRST_LOOK, |(_, delay)| delay);
            (now + delay, delay)
        });
        killed
    }

    /// When to ask again though the descriptor says nothing.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.again.map(|(at, _)| at)
    }

    /// Asks again, if it is time to.
    pub fn on_time(&mut self, now: Instant) -> bool {
        let Some((_, delay)) = self.again.filter(|(at, _)| *at <= now) else {
            return false;
        };
        if delay >= LAST_LOOK {
            // Another cgroup's process was killed. What is still counted here is seen when a process ends.
            self.again = None;
            return false;
        }
        self.again = Some((now, delay * 2));
        self.killed(now)
    }
}

impl From<OomWatch> for Oom {
    fn from(watch: OomWatch) -> Self {
        Self { watch, again: None }
    }
}

impl AsFd for Oom {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}
