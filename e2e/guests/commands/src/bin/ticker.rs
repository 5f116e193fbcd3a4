//! A command that never ends by itself and says so once a second: what runs on through a restart of containerd.

use std::thread;
use std::time::Duration;

use guest_commands::say;

fn main() {
    for tick in 1u64.. {
        say(format_args!("tick {tick}"));
        thread::sleep(Duration::from_secs(1));
    }
}
