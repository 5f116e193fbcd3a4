//! The guest's memory, kept below the container's limit: `memory.grow` fails, which a guest can handle,
//! before the kernel kills the worker, which it cannot.

use std::fs::File;
use std::os::unix::fs::FileExt;
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
    limit: AtomicUsize,
    used: AtomicUsize,
    /// The cgroup's own file, which says what the limit is now.
    file: Option<File>,
}

impl Budget {
    /// The budget of a container with this limit in bytes. `file` is the cgroup's `memory.max` or
    /// `memory.limit_in_bytes`, read again at each growth of a running instance: the limit may have been raised or lowered
    /// (in-place resize, KEP-1287).
    pub(crate) fn new(limit: Option<u64>, file: Option<File>) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(usable(limit)),
            used: AtomicUsize::new(0),
            file,
        })
    }

    /// How many bytes guests may use, if that is bounded.
    pub(crate) fn limit(&self) -> Option<usize> {
        let limit = self.limit.load(Ordering::Relaxed);
        (limit < usize::MAX).then_some(limit)
    }

    /// The same, after another look at what the cgroup allows: one system call.
    pub(crate) fn limit_now(&self) -> Option<usize> {
        self.look_again();
        self.limit()
    }

    /// Takes bytes if there are so many within the limit that was seen last.
    fn take(&self, bytes: usize) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let within = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within)
            .is_ok()
    }

    /// Reads the limit again. One that cannot be read stays as it was.
    fn look_again(&self) {
        let Some(file) = &self.file else {
            return;
        };
        let mut text = [0; 32];
        let now = match file.read_at(&mut text, 0) {
            Ok(length) => parse(&text[..length]),
            Err(_) => None,
        };
        if let Some(limit) = now {
            self.limit.store(usable(limit), Ordering::Relaxed);
        }
    }
}

/// What is left of a limit for guests.
fn usable(limit: Option<u64>) -> usize {
    limit.map_or(usize::MAX, |limit| {
        let left = limit.saturating_sub(HEADROOM.max(limit / SHARE));
        usize::try_from(left.max(limit / 2)).unwrap_or(usize::MAX)
    })
}

/// The content of such a file: a number of bytes, or `max`. Version 1 has no word for it and prints a number
/// that no machine has.
fn parse(text: &[u8]) -> Option<Option<u64>> {
    match str::from_utf8(text).ok()?.trim() {
        "max" => Some(None),
        number => number
            .parse()
            .ok()
            .map(|bytes: u64| (bytes < 1 << 62).then_some(bytes)),
    }
}

/// One instance's part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    taken: usize,
    /// What of it was there from the start.
    initial: usize,
    /// What the latest growth has taken.
    latest: usize,
    /// Whether the instance is being made.
    starting: bool,
}

impl Share {
    pub(crate) fn of(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            taken: 0,
            initial: 0,
            latest: 0,
            starting: true,
        }
    }

    /// The instance is there. What begins at nothing from now on is a growth like any other: a guest may declare a memory
    /// of no pages.
    pub(crate) fn started(&mut self) {
        self.starting = false;
    }

    /// Memory that an instance has from the start is never refused: it is zero pages that cost nothing
    /// until they are touched, and some toolchains ask for plenty. Nor is the limit looked at for it: a server's
    /// instances have it for each request, whereas growths are rare, and worth a system call.
    fn take(&mut self, current: usize, bytes: usize) -> bool {
        let initial = self.starting && current == 0;
        if !initial {
            self.budget.look_again();
        }
        if !self.budget.take(bytes) {
            if !initial {
                return false;
            }
            self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        }
        self.taken += bytes;
        self.latest = bytes;
        if initial {
            self.initial += bytes;
        }
        true
    }

    /// What the instance is taken to have used: what it has asked for, and a quarter of what it began with, of
    /// which much is never touched, or shared with other instances until it is written to.
    pub(crate) fn footprint(&self) -> usize {
        self.taken - self.initial + self.initial / 4
    }

    fn undo(&mut self) {
        self.budget.used.fetch_sub(self.latest, Ordering::Relaxed);
        self.taken -= self.latest;
        self.initial = self.initial.min(self.taken);
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
        Ok(self.take(current, desired.saturating_sub(current)))
    }

    /// Told of the growth that was granted just before: one that nobody was asked about fails for memories of pages of one
    /// byte only, and those are off.
    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let elements = desired.saturating_sub(current);
        Ok(self.take(current, elements.saturating_mul(size_of::<usize>())))
    }

    /// Told of growths, too, that nobody was asked about, since their size cannot be told. Which it was is not said, so
    /// nothing is given back: what was granted and has failed is counted until the instance ends.
    fn table_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn budget(limit: Option<u64>) -> Arc<Budget> {
        Budget::new(limit, None)
    }

    #[test]
    fn growth_ends_below_the_limit() {
        let budget = budget(Some(64 << 20));
        let mut share = Share::of(&budget);
        assert!(share.memory_growing(0, MIB, None).unwrap());
        assert!(share.memory_growing(MIB, 60 * MIB, None).unwrap());
        assert!(!share.memory_growing(60 * MIB, 61 * MIB, None).unwrap());
    }

    #[test]
    fn instances_share_and_give_back() {
        let budget = budget(Some(64 << 20));
        let mut one = Share::of(&budget);
        let mut two = Share::of(&budget);
        assert!(one.memory_growing(MIB, 50 * MIB, None).unwrap());
        assert!(!two.memory_growing(MIB, 50 * MIB, None).unwrap());
        drop(one);
        assert!(two.memory_growing(MIB, 50 * MIB, None).unwrap());
    }

    #[test]
    fn a_growth_that_failed_is_not_counted() {
        let budget = budget(Some(64 << 20));
        let mut share = Share::of(&budget);
        assert!(share.memory_growing(MIB, 50 * MIB, None).unwrap());
        share
            .memory_grow_failed(wasmtime::Error::msg("no slot"))
            .unwrap();
        assert!(share.memory_growing(MIB, 50 * MIB, None).unwrap());
        // Past its own maximum a table does not grow, however often it is tried.
        for _ in 0..2 {
            let past = share.table_growing(1, MIB, Some(2)).unwrap();
            assert!(!past);
        }
        assert!(share.table_growing(1, 2, Some(2)).unwrap());
    }

    #[test]
    fn a_table_s_failure_gives_no_memory_back() {
        let budget = budget(Some(64 << 20));
        let mut share = Share::of(&budget);
        assert!(share.memory_growing(MIB, 50 * MIB, None).unwrap());
        // As of a table of 64 bits that is to have 2^64 elements more.
        share
            .table_grow_failed(wasmtime::Error::msg("overflow"))
            .unwrap();
        assert!(!share.memory_growing(50 * MIB, 99 * MIB, None).unwrap());
    }

    #[test]
    fn what_is_there_from_the_start_is_not_refused() {
        let budget = budget(Some(16 << 20));
        let mut share = Share::of(&budget);
        assert!(share.memory_growing(0, 1024 * MIB, None).unwrap());
        assert!(!share.memory_growing(1024 * MIB, 1025 * MIB, None).unwrap());
        share.started();
        assert!(!share.memory_growing(0, MIB, None).unwrap());
        drop(share);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_footprint_is_mostly_what_was_asked_for() {
        let mut share = Share::of(&budget(None));
        assert!(share.memory_growing(0, 4 * MIB, None).unwrap());
        assert!(share.memory_growing(4 * MIB, 7 * MIB, None).unwrap());
        assert_eq!(share.footprint(), 4 * MIB);
    }

    #[test]
    fn small_limits_leave_half() {
        assert_eq!(budget(Some(4 << 20)).limit(), Some(2 * MIB));
        assert_eq!(budget(None).limit(), None);
    }

    /// The budget of a container with a limit of 64 MiB, and what changes the limit.
    fn resizable() -> (Arc<Budget>, impl Fn(&str)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let limit = File::open(file.path()).unwrap();
        let write = move |text: &str| std::fs::write(file.path(), text).unwrap();
        write("67108864\n");
        (Budget::new(Some(64 << 20), Some(limit)), write)
    }

    #[test]
    fn a_limit_that_was_raised_holds_from_the_next_growth_on() {
        let (budget, write) = resizable();
        let mut share = Share::of(&budget);
        assert!(!share.memory_growing(MIB, 100 * MIB, None).unwrap());
        write("134217728\n");
        assert!(share.memory_growing(MIB, 100 * MIB, None).unwrap());
        assert!(!share.memory_growing(100 * MIB, 200 * MIB, None).unwrap());
        write("nonsense\n");
        assert!(!share.memory_growing(100 * MIB, 200 * MIB, None).unwrap());
        write("max\n");
        assert!(share.memory_growing(100 * MIB, 200 * MIB, None).unwrap());
    }

    #[test]
    fn a_limit_that_was_lowered_holds_from_the_next_growth_on() {
        let (budget, write) = resizable();
        let mut share = Share::of(&budget);
        assert!(share.memory_growing(MIB, 16 * MIB, None).unwrap());
        write("33554432\n");
        // What an instance begins with is not what the limit is looked at for.
        let mut next = Share::of(&budget);
        assert!(next.memory_growing(0, MIB, None).unwrap());
        assert_eq!(budget.limit(), Some(60 * MIB));
        assert!(!share.memory_growing(16 * MIB, 40 * MIB, None).unwrap());
        assert!(share.memory_growing(16 * MIB, 24 * MIB, None).unwrap());
        // Below what is there already: it stays, and does not become more.
        write("8388608\n");
        assert!(!share.table_growing(1, 2, None).unwrap());
    }

    #[test]
    fn both_versions_limits_are_read() {
        assert_eq!(parse(b"max\n"), Some(None));
        assert_eq!(parse(b"9223372036854771712\n"), Some(None));
        assert_eq!(parse(b"4096\n"), Some(Some(4096)));
        assert_eq!(parse(b"-1\n"), None);
        assert_eq!(parse(b"\xff"), None);
    }
}
