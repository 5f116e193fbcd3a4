//! The worker's heap: dlmalloc, which gives back what it does not need when a server has nothing to do.
//!
//! musl's allocator maps and unmaps memory for each request of a server. dlmalloc does not, but gives back only what lies at
//! the end of what it has, and only from 2 MiB on: what a burst of requests has used stays, in pieces between what is still
//! needed. [`give_back`] takes every free piece as if it were needed, tells the kernel that its pages are not, and frees it
//! again (docs/benchmarks.md has what that gains).

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::{Allocator, Dlmalloc};

/// The largest free piece that is looked for; what is larger is taken in parts.
const LARGEST: usize = 64 << 20;

#[global_allocator]
static HEAP: Heap = Heap(Mutex::new(Dlmalloc::new_with_allocator(Pages)));

/// While it is set the heap does not grow.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Gives memory that is not needed back to the kernel. That takes a few allocations and system calls for each free piece, in
/// which time other threads do not get any.
pub(crate) fn give_back() {
    let page = page_size();
    // Has at least one page that nothing else lies in.
    let smallest = 2 * page;
    let mut heap = HEAP.lock();
    // SAFETY: nobody else is in the heap, and `Pages` gives and takes whole mappings.
    unsafe { heap.trim(0) };
    CLOSED.store(true, Ordering::Relaxed);
    let mut held: *mut Held = ptr::null_mut();
    let mut size = LARGEST;
    while size >= smallest {
        // SAFETY: size and alignment are as `Layout` would have them.
        let piece = unsafe { heap.malloc(size, align_of::<Held>()) }.cast::<Held>();
        if piece.is_null() {
            size /= 2;
            continue;
        }
        let before = std::mem::replace(&mut held, piece);
        // SAFETY: the piece is ours, `size` bytes of it, and aligned.
        unsafe { piece.write(Held { before, size }) };
        let (from, to) = (piece.addr() + size_of::<Held>(), piece.addr() + size);
        if let Some((from, length)) = whole_pages(from, to, page) {
            // SAFETY: these pages lie within the piece altogether, behind what was written, in a private mapping of no file.
            // They are zeros from then on. Where the kernel refuses, they stay, which does no harm.
            unsafe { libc::madvise(piece.with_addr(from).cast(), length, libc::MADV_DONTNEED) };
        }
    }
    while !held.is_null() {
        // SAFETY: `held` is a piece from above, and this was written into it.
        unsafe {
            let Held { before, size } = held.read();
            heap.free(held.cast(), size, align_of::<Held>());
            held = before;
        }
    }
    CLOSED.store(false, Ordering::Relaxed);
}

/// What is in the first bytes of a free piece while it is held.
struct Held {
    /// The one that was taken before it.
    before: *mut Held,
    size: usize,
}

/// Where the pages begin, and how many bytes they have, that lie altogether between two addresses. The kernel rounds a length
/// up (`do_madvise`, mm/madvise.c), so it has to be one of whole pages of the size that this kernel has: 16 or 64 KiB on some
/// arm64.
fn whole_pages(from: usize, to: usize, page: usize) -> Option<(usize, usize)> {
    let (from, to) = (from.next_multiple_of(page), to - to % page);
    (from < to).then(|| (from, to - from))
}

/// Bytes of a page.
fn page_size() -> usize {
    // SAFETY: plain call, which allocates nothing.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // It cannot fail, and no kernel has larger ones.
    usize::try_from(size).unwrap_or(64 << 10)
}

/// The allocator of the whole process.
struct Heap(Mutex<Dlmalloc<Pages>>);

impl Heap {
    fn lock(&self) -> MutexGuard<'_, Dlmalloc<Pages>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: each call is dlmalloc's own, under the lock; a mutex of the standard library allocates nothing on Linux.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on to our caller.
        unsafe { self.lock().malloc(layout.size(), layout.align()) }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on to our caller.
        unsafe { self.lock().calloc(layout.size(), layout.align()) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: passed on to our caller.
        unsafe { self.lock().free(address, layout.size(), layout.align()) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: passed on to our caller.
        unsafe {
            self.lock()
                .realloc(address, layout.size(), layout.align(), size)
        }
    }
}

/// Where the heap has its memory from: private mappings of no file.
struct Pages;

// SAFETY: mappings are of the size that is told, nobody else's, and stay until they are unmapped here.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if CLOSED.load(Ordering::Relaxed) {
            return (ptr::null_mut(), 0, 0);
        }
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping, wherever there is room.
        match unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) } {
            libc::MAP_FAILED => (ptr::null_mut(), 0, 0),
            address => (address.cast(), size, 0),
        }
    }

    fn remap(&self, address: *mut u8, old: usize, new: usize, can_move: bool) -> *mut u8 {
        let flags = if can_move { libc::MREMAP_MAYMOVE } else { 0 };
        // SAFETY: the mapping is the heap's, and `old` bytes of it.
        match unsafe { libc::mremap(address.cast(), old, new, flags) } {
            libc::MAP_FAILED => ptr::null_mut(),
            address => address.cast(),
        }
    }

    fn free_part(&self, address: *mut u8, old: usize, new: usize) -> bool {
        // SAFETY: nothing of the mapping's end is needed any more.
        unsafe { libc::munmap(address.add(new).cast(), old - new) == 0 }
    }

    fn free(&self, address: *mut u8, size: usize) -> bool {
        // SAFETY: nothing of the mapping is needed any more.
        unsafe { libc::munmap(address.cast(), size) == 0 }
    }

    fn can_release_part(&self, _: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        page_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of this process's own that are in memory.
    fn resident() -> usize {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Anonymous:"));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse::<usize>().unwrap() << 10
    }

    #[test]
    fn what_lies_between_is_given_back_and_what_is_there_stays() {
        let piece = 5 * page_size();
        let mut pieces: Vec<_> = (0..1000_usize)
            .map(|index| vec![u8::try_from(index % 251).unwrap() + 1; piece])
            .collect();
        let full = resident();
        // Every tenth is needed; what was between them is free.
        let kept: Vec<_> = (0..100)
            .map(|index| std::mem::take(&mut pieces[index * 10]))
            .collect();
        drop(pieces);
        give_back();
        let left = resident();
        assert!(left + 500 * piece < full, "{full} bytes became {left}");
        for (index, bytes) in kept.iter().enumerate() {
            let content = u8::try_from(index * 10 % 251).unwrap() + 1;
            assert!(bytes.iter().all(|byte| *byte == content));
        }
        // And it is a heap as before.
        let again: Vec<_> = (0..1000).map(|_| vec![7_u8; piece]).collect();
        assert!(again.iter().flatten().all(|byte| *byte == 7));
        assert!(vec![0_u8; 1 << 20].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn only_whole_pages_are_given_up() {
        let cases = [
            ((0x1000, 0x3000, 0x1000), Some((0x1000, 0x2000))),
            ((0x1001, 0x3fff, 0x1000), Some((0x2000, 0x1000))),
            ((0x1001, 0x2fff, 0x1000), None),
            ((0x1_0000, 0x1_3000, 0x4000), None),
            ((0x1_0010, 0x2_7000, 0x4000), Some((0x1_4000, 0x1_0000))),
            ((0x1_0010, 0x2_7000, 0x1_0000), None),
        ];
        for ((from, to, page), expected) in cases {
            assert_eq!(
                whole_pages(from, to, page),
                expected,
                "{from:x} {to:x} {page:x}"
            );
        }
    }

    #[test]
    fn others_allocate_meanwhile() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..2000_usize {
                        let bytes = vec![1_u8; round * 7 % 30_000];
                        assert!(bytes.iter().all(|byte| *byte == 1));
                    }
                });
            }
            for _ in 0..200 {
                give_back();
            }
        });
    }
}
