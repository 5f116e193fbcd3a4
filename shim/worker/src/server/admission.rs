//! How many requests are worked on at once, and how many wait for their turn.
//!
//! An instance for each request is what a request costs. Their number is kept below what the memory limit
//! allows, by what the requests before have used: a request that waits is better off than one whose
//! `memory.grow` fails. The limit may change while the server runs (in-place resize, KEP-1287): it is looked at again
//! whenever a request would have to wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::memory::Budget;

/// What an instance is taken to use before one has been seen: what most Rust and Go guests are below.
const ASSUMED: usize = 2 << 20;

/// Requests that may wait for each one that is worked on.
const QUEUE: usize = 16;
/// And at least so many in all.
const SHORTEST_QUEUE: usize = 128;

/// How long a request waits for its turn where nothing else bounds it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// No turn: the queue is full, or it took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

/// Who may work.
#[derive(Debug)]
pub(super) struct Admission {
    slots: Arc<Semaphore>,
    cap: Mutex<Cap>,
    budget: Option<Arc<Budget>>,
    waiting: AtomicUsize,
    wait: Duration,
}

impl Admission {
    /// At most `most` at once, and no more than fit into the budget, if there is one and it is bounded.
    pub(super) fn new(most: usize, budget: Option<Arc<Budget>>, wait: Option<Duration>) -> Self {
        let cap = Cap::new(most, budget.as_deref().and_then(Budget::limit));
        Self {
            slots: Arc::new(Semaphore::new(cap.now)),
            cap: Mutex::new(cap),
            budget,
            waiting: AtomicUsize::new(0),
            wait: wait.unwrap_or(LONGEST_WAIT),
        }
    }

    /// Waits for a turn, which lasts until the value is dropped.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Slot, Busy> {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(self.slot(permit));
        }
        self.look_again();
        let waiting = Queued::new(&self.waiting);
        if waiting.place >= self.queue() {
            return Err(Busy);
        }
        let permit = Arc::clone(&self.slots).acquire_owned();
        match tokio::time::timeout(self.wait, permit).await {
            Ok(Ok(permit)) => Ok(self.slot(permit)),
            Ok(Err(_)) | Err(_) => Err(Busy),
        }
    }

    fn slot(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Slot {
        Slot {
            admission: Arc::clone(self),
            permit: Some(permit),
        }
    }

    fn queue(&self) -> usize {
        (self.cap().now * QUEUE).max(SHORTEST_QUEUE)
    }

    /// An instance has used so many bytes.
    pub(super) fn learn(&self, bytes: usize) {
        let more = self.cap().learn(bytes);
        self.slots.add_permits(more);
    }

    /// The memory limit may be another by now. New slots go to those that wait.
    fn look_again(&self) {
        if let Some(budget) = &self.budget {
            let memory = budget.limit_now();
            let more = self.cap().resize(memory);
            self.slots.add_permits(more);
        }
    }

    fn cap(&self) -> std::sync::MutexGuard<'_, Cap> {
        self.cap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn.
#[derive(Debug)]
pub(super) struct Slot {
    admission: Arc<Admission>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        if self.admission.cap().withdraw() {
            permit.forget();
        }
    }
}

/// One that waits.
struct Queued<'a> {
    waiting: &'a AtomicUsize,
    /// How many were there before.
    place: usize,
}

impl<'a> Queued<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        let place = waiting.fetch_add(1, Ordering::Relaxed);
        Self { waiting, place }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many slots there are, and how many there should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cap {
    most: usize,
    memory: Option<usize>,
    /// What an instance uses: at once what the largest does, then less and less if no other does.
    typical: usize,
    /// Slots there are, taken or not.
    now: usize,
}

impl Cap {
    fn new(most: usize, memory: Option<usize>) -> Self {
        let mut cap = Self {
            most,
            memory,
            typical: ASSUMED,
            now: 0,
        };
        cap.now = cap.wanted();
        cap
    }

    fn wanted(&self) -> usize {
        match self.memory {
            Some(memory) => (memory / self.typical.max(1)).clamp(1, self.most),
            None => self.most,
        }
    }

    /// Gives how many slots are to be added.
    fn learn(&mut self, bytes: usize) -> usize {
        self.typical = bytes.max(self.typical - self.typical / 16);
        self.grow()
    }

    /// Gives how many slots are to be added.
    fn resize(&mut self, memory: Option<usize>) -> usize {
        self.memory = memory;
        self.grow()
    }

    fn grow(&mut self) -> usize {
        let more = self.wanted().saturating_sub(self.now);
        self.now += more;
        more
    }

    /// Whether the slot that has become free is one too many.
    fn withdraw(&mut self) -> bool {
        let surplus = self.now > self.wanted();
        if surplus {
            self.now -= 1;
        }
        surplus
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn without_a_limit_the_pool_is_the_limit() {
        let mut cap = Cap::new(32, None);
        assert_eq!(cap.now, 32);
        assert_eq!(cap.learn(1 << 30), 0);
        assert!(!cap.withdraw());
    }

    #[test]
    fn large_instances_take_slots_away_and_small_ones_bring_them_back() {
        let mut cap = Cap::new(32, Some(60 * MIB));
        assert_eq!(cap.now, 30);
        assert_eq!(cap.learn(20 * MIB), 0);
        let withdrawn = (0..30).filter(|_| cap.withdraw()).count();
        assert_eq!((withdrawn, cap.now), (27, 3));
        let added: usize = (0..100).map(|_| cap.learn(MIB)).sum();
        assert_eq!((added, cap.now), (29, 32));
    }

    #[test]
    fn there_is_always_one() {
        let mut cap = Cap::new(32, Some(MIB));
        assert_eq!(cap.now, 1);
        cap.learn(usize::MAX);
        assert!(!cap.withdraw());
        assert_eq!(cap.now, 1);
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_at_once_and_a_long_wait_in_time() {
        let wait = Some(Duration::from_millis(1));
        let admission = Arc::new(Admission::new(1, None, wait));
        let slot = admission.enter().await.unwrap();
        assert_eq!(admission.enter().await.unwrap_err(), Busy);
        admission.waiting.store(SHORTEST_QUEUE, Ordering::Relaxed);
        assert_eq!(admission.enter().await.unwrap_err(), Busy);
        drop(slot);
        admission.enter().await.unwrap();
    }

    /// At most `most` for a container with this limit, and the file that says so.
    fn limited(most: usize, limit: usize) -> (Arc<Admission>, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        write(&file, limit);
        let open = std::fs::File::open(file.path()).unwrap();
        let budget = Budget::new(Some(limit as u64), Some(open));
        let wait = Some(Duration::from_millis(1));
        (Arc::new(Admission::new(most, Some(budget), wait)), file)
    }

    fn write(file: &tempfile::NamedTempFile, limit: usize) {
        std::fs::write(file.path(), format!("{limit}\n")).unwrap();
    }

    #[tokio::test]
    async fn a_raised_limit_makes_room_for_a_request_that_waits() {
        // Half of it is for guests.
        let (admission, file) = limited(2, 4 * MIB);
        let one = admission.enter().await.unwrap();
        assert_eq!(admission.enter().await.unwrap_err(), Busy);
        write(&file, 64 * MIB);
        let two = admission.enter().await.unwrap();
        drop((one, two));
        write(&file, 4 * MIB);
        let one = admission.enter().await.unwrap();
        let two = admission.enter().await.unwrap();
        // Only where somebody would have to wait is it looked at.
        assert_eq!(admission.enter().await.unwrap_err(), Busy);
        drop((one, two));
        let _one = admission.enter().await.unwrap();
        assert_eq!(admission.enter().await.unwrap_err(), Busy);
    }

    #[tokio::test]
    async fn a_slot_too_many_is_not_given_again() {
        let (admission, _file) = limited(2, 8 * MIB);
        let slots = (
            admission.enter().await.unwrap(),
            admission.enter().await.unwrap(),
        );
        admission.learn(4 * MIB);
        drop(slots);
        let _one = admission.enter().await.unwrap();
        assert_eq!(admission.enter().await.unwrap_err(), Busy);
    }
}
