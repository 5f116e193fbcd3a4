//! A command that traps, in a function whose name can be looked for.

use guest_commands::say;

fn main() {
    say("about to trap");
    fall_into_the_trap();
}

#[inline(never)]
fn fall_into_the_trap() {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}
