//! What one compilation may use: a small module can be made to ask for much of everything (compile-time
//! denial of service is outside wasmtime's own security promise).

use std::time::Duration;

/// The longest module, 20 times CPython.
pub(crate) const MODULE: u64 = 512 << 20;

/// Address space of the compiling process; CPython's 26 MB need 220 MB.
pub(crate) const MEMORY: u64 = 4 << 30;

/// The longest code.
pub(crate) const CODE: u64 = 2 << 30;

/// How long one compilation may take; a little less than the pod process waits.
pub(crate) const TIME: Duration = Duration::from_secs(540);

/// The longest sentence that is taken from the compiling process.
pub(crate) const SENTENCE: usize = 1024;

/// Below every container.
pub(crate) const NICENESS: i32 = 10;

/// The user and group of the compiling process, which own nothing (`nobody`).
pub(crate) const NOBODY: u32 = 65_534;
