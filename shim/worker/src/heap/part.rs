//! A part of the heap: dlmalloc, which can be told to give back what is free in it.

use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::Dlmalloc;

use super::pages::{Pages, page_size};

/// The largest free piece that is looked for; what is larger is taken in parts.
const LARGEST: usize = 64 << 20;

/// A part of the heap, which whoever allocates in it has for himself meanwhile.
pub(super) struct Part(Mutex<Dlmalloc<Pages>>);

impl Part {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Dlmalloc::new_with_allocator(Pages::new())))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Dlmalloc<Pages>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes every free piece as if it were needed, tells the kernel that its pages are not, and frees it again. That takes
    /// a few allocations and system calls for each free piece, in which time other threads do not get any.
    pub(super) fn give_back(&self) {
        let page = page_size();
        // Has at least one page that nothing else lies in.
        let smallest = 2 * page;
        let mut part = self.lock();
        // SAFETY: nobody else is in the heap, and `Pages` gives and takes whole mappings.
        unsafe { part.trim(0) };
        part.allocator_mut().close(true);
        let mut held: *mut Held = ptr::null_mut();
        let mut size = LARGEST;
        while size >= smallest {
            // SAFETY: size and alignment are as `Layout` would have them.
            let piece = unsafe { part.malloc(size, align_of::<Held>()) }.cast::<Held>();
            if piece.is_null() {
                size /= 2;
                continue;
            }
            let before = std::mem::replace(&mut held, piece);
            // SAFETY: the piece is ours, `size` bytes of it, and aligned.
            unsafe { piece.write(Held { before, size }) };
            let (from, to) = (piece.addr() + size_of::<Held>(), piece.addr() + size);
            if let Some((from, length)) = whole_pages(from, to, page) {
                // SAFETY: these pages lie within the piece altogether, behind what was written, in a private mapping of no
                // file. They are zeros from then on. Where the kernel refuses, they stay, which does no harm.
                unsafe { libc::madvise(piece.with_addr(from).cast(), length, libc::MADV_DONTNEED) };
            }
        }
        while !held.is_null() {
            // SAFETY: `held` is a piece from above, and this was written into it.
            unsafe {
                let Held { before, size } = held.read();
                part.free(held.cast(), size, align_of::<Held>());
                held = before;
            }
        }
        part.allocator_mut().close(false);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
