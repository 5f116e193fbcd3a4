//! Processes and what they take, as /proc tells it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};
use slipway_e2e_cri::leavings::numbers;

/// Memory in KiB.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Size {
    /// Proportional: shared pages are divided among those who share them.
    pub(crate) pss: f64,
    /// Unique: pages that nobody else has.
    pub(crate) uss: f64,
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.pss += other.pss;
        self.uss += other.uss;
    }
}

impl Size {
    /// For each of so many.
    pub(crate) fn each(self, count: u32) -> Self {
        let count = f64::from(count.max(1));
        Self {
            pss: self.pss / count,
            uss: self.uss / count,
        }
    }
}

/// The processes there are.
pub(crate) fn all() -> BTreeSet<u32> {
    numbers(Path::new("/proc")).into_iter().collect()
}

/// A process's name and size, unless it has gone.
pub(crate) fn look(pid: u32) -> Option<(String, Size)> {
    let given = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let sizes = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let program = program.file_name().unwrap_or_default().to_string_lossy();
    Some((name(given.trim(), &program).to_owned(), size(&sizes)))
}

/// The program's name, unless the process has given itself another: the kernel keeps 15 bytes of either.
fn name<'a>(given: &'a str, program: &'a str) -> &'a str {
    if program.starts_with(given) {
        program
    } else {
        given
    }
}

/// The size in the text of `smaps_rollup`.
fn size(text: &str) -> Size {
    let of = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.unwrap_or_default()
    };
    Size {
        pss: of("Pss:"),
        uss: of("Private_Clean:") + of("Private_Dirty:"),
    }
}

/// Resident memory of a process in KiB.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("process {pid} has no VmRSS"))
}

/// Seconds that the threads of a process have spent on a processor.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let tasks = numbers(Path::new(&format!("/proc/{pid}/task")));
    let spent = tasks.iter().filter_map(|task| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    spent.sum::<f64>() / 1e9
}

/// The first and the last processor that may be used: one for who answers, one for who asks.
pub(crate) fn two_processors() -> Option<(usize, usize)> {
    let allowed = sched_getaffinity(None).ok()?;
    let mut usable = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let first = usable.next()?;
    let last = usable.next_back()?;
    Some((first, last))
}

/// Keeps all threads of a process on one processor.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn pin(pid: u32, cpu: usize) -> Result<()> {
    for task in numbers(Path::new(&format!("/proc/{pid}/task"))) {
        pin_thread(Pid::from_raw(i32::try_from(task)?), cpu)?;
    }
    Ok(())
}

/// Keeps a thread, or the calling one, on one processor.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn pin_thread(thread: Option<Pid>, cpu: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(thread, &only).with_context(|| format!("processor {cpu}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_what_the_kernel_sums_up() {
        let text = "7f0-7ff ---p 0 00:00 0 [rollup]\nRss:  1304 kB\nPss:  205 kB\nPss_Anon: 92 kB\n\
                    Private_Clean:  12 kB\nPrivate_Dirty:  80 kB\n";
        let size = size(text);
        assert_eq!((size.pss, size.uss), (205.0, 92.0));
        assert_eq!(size.each(2).uss, 46.0);
    }

    #[test]
    fn a_name_is_whole() {
        let shim = "containerd-shim-slipway-v1";
        assert_eq!(name("containerd-shim", shim), shim);
        assert_eq!(name("slipway-pause", shim), "slipway-pause");
    }

    #[test]
    fn the_test_itself_is_a_process_with_memory() {
        let pid = std::process::id();
        assert!(all().contains(&pid));
        assert!(resident(pid).unwrap() > 100.0);
        assert!(look(pid).unwrap().1.pss > 0.0);
    }
}
