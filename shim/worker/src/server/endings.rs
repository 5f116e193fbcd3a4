//! How much has come to its end, and so may have left something to give back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// So many are worth to be looked after. A request is two, its guest's and its connection's, and what one or two have used is
/// needed by the next.
const FEW: u64 = 8;
/// So often in a row more than a few may end until it is given back all the same: a server that is never without requests
/// may still have had more of them.
const BUSY: u32 = 60;

/// How many guests, kept instances and connections have come to their end.
#[derive(Debug, Default)]
pub(super) struct Endings {
    number: AtomicU64,
    another: Notify,
}

impl Endings {
    /// Tells, when it is dropped, that something has come to its end.
    pub(super) fn one(&self) -> Ending<'_> {
        Ending(self)
    }

    /// So many have just come to their end.
    pub(super) fn add(&self, number: u64) {
        if number > 0 {
            self.number.fetch_add(number, Ordering::Relaxed);
            self.another.notify_one();
        }
    }

    fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// For ever: while something comes to its end calls `tidy` every so often; and `give_back` when at least [`FEW`] have since
    /// it was called last, as soon as fewer do, or after [`BUSY`] times. Nobody is woken for a server that is idle.
    pub(super) async fn look_after(
        &self,
        time: Duration,
        tidy: impl Fn(),
        give_back: impl Fn(),
    ) -> ! {
        let mut given_back = 0;
        loop {
            self.another.notified().await;
            for _ in 0..BUSY {
                let before = self.number();
                tokio::time::sleep(time).await;
                tidy();
                if self.number() - before < FEW {
                    break;
                }
            }
            let number = self.number();
            if number - given_back >= FEW {
                given_back = number;
                give_back();
            }
        }
    }
}

/// See [`Endings::one`].
pub(super) struct Ending<'a>(&'a Endings);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Has `happens` happen while it is looked after; it is told how often something was given back.
    async fn looked_after(happens: impl AsyncFn(&Endings, &Cell<usize>)) {
        let (endings, given_back) = (Endings::default(), Cell::new(0));
        let give_back = || given_back.set(given_back.get() + 1);
        tokio::select! {
            never = endings.look_after(SECOND, || {}, give_back) => never,
            () = happens(&endings, &given_back) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_much_it_is_given_back_once() {
        looked_after(async |endings, given_back| {
            for _ in 0..50 {
                drop((endings.one(), endings.one()));
                sleep(SECOND / 10).await;
            }
            assert_eq!(given_back.get(), 0);
            sleep(100 * SECOND).await;
            assert_eq!(given_back.get(), 1);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn probes_do_not_keep_it_from_that() {
        looked_after(async |endings, given_back| {
            endings.add(100);
            for _ in 0..3 {
                // Never without one for a second, and never just when that is looked at.
                sleep(SECOND / 2).await;
                drop((endings.one(), endings.one()));
                sleep(SECOND / 2).await;
            }
            assert_eq!(given_back.get(), 1);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_never_quiet_gives_back_now_and_then() {
        looked_after(async |endings, given_back| {
            for _ in 0..5 * BUSY {
                endings.add(100);
                sleep(SECOND / 2).await;
                endings.add(100);
                sleep(SECOND / 2).await;
            }
            assert!((4..=5).contains(&given_back.get()), "{given_back:?}");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_leave_nothing() {
        looked_after(async |endings, given_back| {
            endings.add(FEW - 1);
            sleep(100 * SECOND).await;
            assert_eq!(given_back.get(), 0);
            endings.add(1);
            sleep(100 * SECOND).await;
            assert_eq!(given_back.get(), 1);
        })
        .await;
    }
}
