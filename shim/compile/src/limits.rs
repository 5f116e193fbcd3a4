//! What one compilation may use: a small module can be made to ask for much of everything (compile-time
//! denial of service is outside wasmtime's own security promise).

use std::time::Duration;

use crate::Failure;

/// What can be made less for one compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Address space of the compiling process in bytes; CPython's 26 MB need 220 MB.
    pub memory: u64,
    /// How much processor time it may take, of all processors together. It is the module's fault if it takes more, so
    /// that it is refused for a while; a JavaScript engine of 13 MB takes 30 s of it.
    pub processor: Duration,
    /// How long it may take, as others wait meanwhile; a busy node takes longer than a module needs. A little less than
    /// the pod process waits.
    pub time: Duration,
}

impl Limits {
    /// What a refusal depends on, in one line.
    pub(crate) fn terms(&self) -> String {
        let Self {
            memory, processor, ..
        } = self;
        format!("1 {memory} {}", processor.as_secs())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 4 << 30,
            processor: Duration::from_secs(240),
            time: Duration::from_secs(300),
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

/// The highest there is (`OOM_SCORE_ADJ_MAX`, linux/oom.h).
const FIRST_TO_GO: &str = "1000";

/// Makes this process, and so those that it forks, the first that the kernel ends when the node is short of memory.
/// It is born with containerd's protection, under which it would be the last, and others would go for a module that
/// makes it grow.
///
/// # Errors
/// When `/proc` does not take it. A compiler that is protected compiles nothing.
pub fn expendable() -> Result<(), Failure> {
    // Raising it takes no privilege (proc_pid_oom_score_adj(5)).
    std::fs::write("/proc/self/oom_score_adj", FIRST_TO_GO)
        .map_err(Failure::internal("writing /proc/self/oom_score_adj"))
}
