//! What one compilation may use: a small module can be made to ask for much of everything (compile-time
//! denial of service is outside wasmtime's own security promise).

use std::time::Duration;

/// What can be made less for one compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Address space of the compiling process in bytes; CPython's 26 MB need 220 MB.
    pub memory: u64,
    /// How long it may take; a little less than the pod process waits.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 4 << 30,
            time: Duration::from_secs(540),
        }
    }
}

/// The longest module, 20 times CPython.
pub(crate) const MODULE: u64 = 512 << 20;

/// The longest code.
pub(crate) const CODE: u64 = 2 << 30;

/// The longest sentence that is taken from the compiling process.
pub(crate) const SENTENCE: usize = 1024;

/// Below every container.
pub(crate) const NICENESS: i32 = 10;

/// The user and group of the compiling process, which own nothing (`nobody`).
pub(crate) const NOBODY: u32 = 65_534;
