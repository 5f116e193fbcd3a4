//! The machine, and how quiet it is.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// How long it is listened to before the run.
const LISTEN: Duration = Duration::from_secs(3);

/// The machine that was measured on.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Its processors' name.
    pub(crate) processor: String,
    /// How many.
    pub(crate) processors: usize,
    /// The kernel's version.
    pub(crate) kernel: String,
    /// Whether it has cgroup v2.
    pub(crate) cgroup_v2: bool,
    /// containerd's version.
    pub(crate) containerd: String,
    /// What part of all processors' time others used just before the run.
    pub(crate) busy: f64,
    /// The load average of the minute before.
    pub(crate) load: f64,
}

/// Looks at the machine.
///
/// # Errors
/// When /proc is not as it should be.
pub(crate) fn look(containerd: &str, cgroup_v2: bool) -> Result<Machine> {
    let info = std::fs::read_to_string("/proc/cpuinfo")?;
    let name = info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let first = load.split(' ').next().and_then(|word| word.parse().ok());
    let before = times()?;
    std::thread::sleep(LISTEN);
    Ok(Machine {
        processor: name.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        processors: std::thread::available_parallelism()?.get(),
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?
            .trim()
            .to_owned(),
        cgroup_v2,
        containerd: containerd.to_owned(),
        busy: busy(before, times()?),
        load: first.unwrap_or_default(),
    })
}

/// The times that all processors spent so far, by what they did (proc(5), /proc/stat).
fn times() -> Result<Vec<u64>> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let numbers = line.split_whitespace().skip(1);
    numbers.map(|number| Ok(number.parse()?)).collect()
}

/// The part of the time between two looks that was neither idle nor waiting for a disk.
fn busy(before: Vec<u64>, after: Vec<u64>) -> f64 {
    // Guests' time is within user time already.
    let spent: Vec<f64> = after
        .into_iter()
        .zip(before)
        .take(8)
        .map(|(after, before)| after.saturating_sub(before) as f64)
        .collect();
    let all: f64 = spent.iter().sum();
    let idle: f64 = spent.iter().skip(3).take(2).sum();
    if all > 0.0 { 1.0 - idle / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_idle_is_busy() {
        let before = vec![10, 0, 10, 100, 0, 0, 0, 0, 5, 0];
        let after = vec![20, 0, 20, 150, 10, 0, 0, 20, 9, 0];
        assert!((busy(before.clone(), after) - 0.4).abs() < 1e-9);
        assert_eq!(busy(before.clone(), before), 0.0);
    }
}
