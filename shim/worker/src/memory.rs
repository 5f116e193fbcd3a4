//! The guest's memory, kept below the container's limit: `memory.grow` fails, which a guest can handle,
//! before the kernel kills the worker, which it cannot.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::{ResourceLimiter, Result};

/// What the worker itself needs at least.
const HEADROOM: u64 = 4 << 20;
/// And a share of the limit, for page tables and what the guest has the engine allocate.
const SHARE: u64 = 16;

/// What all instances of a worker may use together.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// The budget of a container with this limit.
    pub(crate) fn new(limit: Option<u64>) -> Arc<Self> {
        let limit = limit.map_or(usize::MAX, |limit| {
            let left = limit.saturating_sub(HEADROOM.max(limit / SHARE));
            usize::try_from(left.max(limit / 2)).unwrap_or(usize::MAX)
        });
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
        })
    }
}

/// One instance's part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    taken: usize,
    /// What the growth under way takes.
    latest: usize,
}

impl Share {
    pub(crate) fn of(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            taken: 0,
            latest: 0,
        }
    }

    /// Memory that an instance has from the start is never refused: it is zero pages that cost nothing
    /// until they are touched, and some toolchains ask for plenty.
    fn take(&mut self, initial: bool, bytes: usize) -> bool {
        let used = self.budget.used.load(Ordering::Relaxed);
        let fits = used
            .checked_add(bytes)
            .is_some_and(|sum| sum <= self.budget.limit);
        if fits || initial {
            self.budget.used.fetch_add(bytes, Ordering::Relaxed);
            self.taken += bytes;
            self.latest = bytes;
        }
        fits || initial
    }

    fn undo(&mut self) {
        self.budget.used.fetch_sub(self.latest, Ordering::Relaxed);
        self.taken -= self.latest;
        self.latest = 0;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

impl ResourceLimiter for Share {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        Ok(self.take(current == 0, desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let elements = desired.saturating_sub(current);
        Ok(self.take(current == 0, elements.saturating_mul(size_of::<usize>())))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.undo();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn growth_ends_below_the_limit() {
        let budget = Budget::new(Some(64 << 20));
        let mut share = Share::of(&budget);
        assert!(share.memory_growing(0, MIB, None).unwrap());
        assert!(share.memory_growing(MIB, 60 * MIB, None).unwrap());
        assert!(!share.memory_growing(60 * MIB, 61 * MIB, None).unwrap());
    }

    #[test]
    fn instances_share_and_give_back() {
        let budget = Budget::new(Some(64 << 20));
        let mut one = Share::of(&budget);
        let mut two = Share::of(&budget);
        assert!(one.memory_growing(MIB, 50 * MIB, None).unwrap());
        assert!(!two.memory_growing(MIB, 50 * MIB, None).unwrap());
        drop(one);
        assert!(two.memory_growing(MIB, 50 * MIB, None).unwrap());
    }

    #[test]
    fn a_growth_that_failed_is_not_counted() {
        let budget = Budget::new(Some(64 << 20));
        let mut share = Share::of(&budget);
        assert!(share.memory_growing(MIB, 50 * MIB, None).unwrap());
        share
            .memory_grow_failed(wasmtime::Error::msg("no slot"))
            .unwrap();
        assert!(share.memory_growing(MIB, 50 * MIB, None).unwrap());
    }

    #[test]
    fn what_is_there_from_the_start_is_not_refused() {
        let budget = Budget::new(Some(16 << 20));
        let mut share = Share::of(&budget);
        assert!(share.memory_growing(0, 1024 * MIB, None).unwrap());
        assert!(!share.memory_growing(1024 * MIB, 1025 * MIB, None).unwrap());
    }

    #[test]
    fn small_limits_leave_half() {
        assert_eq!(Budget::new(Some(4 << 20)).limit, 2 * MIB);
        assert_eq!(Budget::new(None).limit, usize::MAX);
    }
}
