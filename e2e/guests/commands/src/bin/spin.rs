//! A command that computes for ever and makes no call a host could interrupt it in.

use std::hint::black_box;

use guest_commands::say;

fn main() {
    say("spinning");
    let mut sum = 0u64;
    loop {
        sum = black_box(sum.wrapping_add(1));
    }
}
