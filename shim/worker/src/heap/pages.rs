//! Where the heap has its memory from: private mappings of no file.

use std::ptr;

use dlmalloc::Allocator;

/// The system's side of a part of the heap.
pub(super) struct Pages {
    closed: bool,
}

impl Pages {
    pub(super) const fn new() -> Self {
        Self { closed: false }
    }

    /// Whether there is no more memory than there is.
    pub(super) fn close(&mut self, closed: bool) {
        self.closed = closed;
    }
}

/// Bytes of a page.
pub(super) fn page_size() -> usize {
    // SAFETY: plain call, which allocates nothing.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // It cannot fail, and no kernel has larger ones.
    usize::try_from(size).unwrap_or(64 << 10)
}

// SAFETY: mappings are of the size that is told, nobody else's, and stay until they are unmapped here.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if self.closed {
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
