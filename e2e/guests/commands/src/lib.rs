//! What the commands share.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints one line and sends it on its way: a test reads the log while the guest still runs.
pub fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    // A log nobody reads any more is no reason to end.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
