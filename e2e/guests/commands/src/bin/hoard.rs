//! A command that asks for memory without end: it meets the limit of its container.

use guest_commands::say;

const MEBIBYTE: usize = 1 << 20;

fn main() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(MEBIBYTE).is_err() {
            say(format_args!("refused after {} MiB", hoard.len()));
            return;
        }
        // Written to, so that it is really used and not only promised.
        piece.resize(MEBIBYTE, 0xa5);
        hoard.push(piece);
        if hoard.len().is_multiple_of(8) {
            say(format_args!("have {} MiB", hoard.len()));
        }
    }
}
