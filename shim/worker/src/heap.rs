//! The worker's heap: dlmalloc in two parts, which gives back what it does not need when a server has little to do.
//!
//! musl's allocator maps and unmaps memory for each request of a server. dlmalloc does not, but gives back only what lies at
//! the end of what it has, and only from 2 MiB on: what a burst of requests has used stays, in pieces between what is still
//! needed, until [`give_back`] (docs/benchmarks.md has what that and the parts gain).

mod pages;
mod part;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

use part::Part;

/// What hyper takes for a buffer (hyper 1, `proto/h1/io.rs`, `INIT_BUFFER_SIZE`): two for each connection, and another for
/// each request. Hardly anything in them is ever used but the first page, and a page that was never used takes no memory. But
/// among others they lie where an instance was before.
const BUFFER: usize = 8 << 10;

#[global_allocator]
static HEAP: Heap = Heap {
    buffers: Part::new(),
    others: Part::new(),
};

/// Gives memory that is not needed back to the kernel.
pub(crate) fn give_back() {
    HEAP.buffers.give_back();
    HEAP.others.give_back();
}

/// The allocator of the whole process.
struct Heap {
    /// Pieces of [`BUFFER`] bytes, which so begin where one has begun before.
    buffers: Part,
    others: Part,
}

impl Heap {
    /// Where a piece of this size is.
    fn part(&self, size: usize) -> &Part {
        if size == BUFFER {
            &self.buffers
        } else {
            &self.others
        }
    }
}

// SAFETY: each call is dlmalloc's own, under the lock of the part that the size says, in which the piece was made as well; a
// mutex of the standard library allocates nothing on Linux.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut part = self.part(layout.size()).lock();
        // SAFETY: passed on to our caller.
        unsafe { part.malloc(layout.size(), layout.align()) }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let mut part = self.part(layout.size()).lock();
        // SAFETY: passed on to our caller.
        unsafe { part.calloc(layout.size(), layout.align()) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        let mut part = self.part(layout.size()).lock();
        // SAFETY: passed on to our caller.
        unsafe { part.free(address, layout.size(), layout.align()) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (from, to) = (self.part(layout.size()), self.part(size));
        if ptr::eq(from, to) {
            // SAFETY: passed on to our caller.
            return unsafe {
                to.lock()
                    .realloc(address, layout.size(), layout.align(), size)
            };
        }
        // SAFETY: the new size is our caller's to vouch for, as above; both pieces are there and not the same, and as long as
        // the shorter of them.
        unsafe {
            let piece = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !piece.is_null() {
                ptr::copy_nonoverlapping(address, piece, size.min(layout.size()));
                self.dealloc(address, layout);
            }
            piece
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs a test that looks at its whole process in one of its own.
    fn alone(name: &str, test: fn()) {
        const ALONE: &str = "SLIPWAY_TEST_ALONE";
        if std::env::var_os(ALONE).is_some() {
            return test();
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("heap::tests::{name}"), "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        assert!(said.contains("1 passed"), "{said}");
    }

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
        alone(
            "what_lies_between_is_given_back_and_what_is_there_stays",
            || {
                for piece in [5 * pages::page_size(), BUFFER] {
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
            },
        );
    }

    #[test]
    fn the_rest_of_a_buffer_takes_no_memory() {
        alone("the_rest_of_a_buffer_takes_no_memory", || {
            let before = resident();
            let connections: Vec<_> = (0..500)
                .map(|_| {
                    let mut buffers = [const { Vec::new() }; 2];
                    for buffer in &mut buffers {
                        buffer.reserve_exact(BUFFER);
                        buffer.extend_from_slice(b"GET / HTTP/1.1");
                    }
                    // Its instance, which is written altogether.
                    drop(vec![1_u8; 3 * BUFFER]);
                    buffers
                })
                .collect();
            let (used, taken) = (resident() - before, connections.len() * 2 * BUFFER);
            assert!(used < taken * 3 / 4, "{used} bytes of {taken}");
        });
    }

    #[test]
    fn a_piece_keeps_its_content_when_it_becomes_a_buffer_and_when_it_is_one_no_more() {
        let mut bytes: Vec<u8> = Vec::with_capacity(100);
        let content: Vec<u8> = (0..100).collect();
        bytes.extend_from_slice(&content);
        for capacity in [BUFFER, 2 * BUFFER, BUFFER, 100, BUFFER, 3000] {
            if capacity > bytes.capacity() {
                bytes.reserve_exact(capacity - bytes.len());
            } else {
                bytes.shrink_to(capacity);
            }
            assert_eq!(bytes.capacity(), capacity);
            assert_eq!(bytes, content);
        }
    }

    #[test]
    fn others_allocate_meanwhile() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..2000_usize {
                        let bytes = vec![1_u8; round * 7 % 30_000];
                        let buffer = vec![2_u8; BUFFER];
                        assert!(bytes.iter().all(|byte| *byte == 1));
                        assert!(buffer.iter().all(|byte| *byte == 2));
                    }
                });
            }
            for _ in 0..200 {
                give_back();
            }
        });
    }
}
