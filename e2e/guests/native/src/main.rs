//! The ticker as native code: a container for runc, to be compared with and to stand beside a Wasm one.
//!
//! `native-ticker` ticks once a second for ever; `native-ticker N` ends after N ticks.

use std::io::{self, Write};
use std::time::Duration;
use std::{env, thread};

fn main() -> io::Result<()> {
    let ticks = env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(u64::MAX);
    for tick in 1..=ticks {
        let mut out = io::stdout().lock();
        writeln!(out, "tick {tick}")?;
        out.flush()?;
        drop(out);
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}
