//! Processes of this run: started with a log, ended with it, and looked at in /proc.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};

/// Lines of a log that an error shows.
const SHOWN: usize = 15;

/// A process; it is killed when this is dropped.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// The most memory it ever had, in KiB (`VmHWM`, proc(5)).
    pub(crate) peak_kib: u64,
    /// The memory it has, in KiB (`VmRSS`).
    pub(crate) resident_kib: u64,
    /// Processor time, in seconds.
    pub(crate) cpu_seconds: f64,
}

impl Process {
    /// Starts it with its output in `NAME.log` of a folder.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        folder: &Path,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let mut options = OpenOptions::new();
        let out = options.create(true).append(true).open(&log);
        let out = out.with_context(|| log.display().to_string())?;
        let mut command = Command::new(program);
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .kill_on_drop(true);
        prepare(&mut command);
        let child = command
            .spawn()
            .with_context(|| format!("{}: cannot be started", program.display()))?;
        Ok(Self { name, child, log })
    }

    /// Kills it, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Says so when it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        bail!("{} has ended ({status}):\n{}", self.name, self.tail());
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// What it has used.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let id = self.child.id().context("it has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        usage(&status, &stat).with_context(|| format!("/proc/{id} is not as it should be"))
    }
}

/// Reads `/proc/PID/status` and `/proc/PID/stat`.
fn usage(status: &str, stat: &str) -> Option<Usage> {
    /// What a clock tick is, on every Linux that this runs on (`getconf CLK_TCK`).
    const TICKS_A_SECOND: f64 = 100.0;
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':')
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    // The name, in parentheses, may hold anything; after it come state and numbers.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).take(2);
    let mut ticks = || times.next()?.parse::<f64>().ok();
    Some(Usage {
        peak_kib: kib("VmHWM")?,
        resident_kib: kib("VmRSS")?,
        cpu_seconds: (ticks()? + ticks()?) / TICKS_A_SECOND,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        let status = "Name:\ta\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n";
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 100 0 0";
        let found = usage(status, stat).unwrap();
        assert_eq!((found.peak_kib, found.resident_kib), (2048, 1024));
        assert!((found.cpu_seconds - 2.0).abs() < 1e-9);
        assert!(usage("Name:\ta\n", stat).is_none());
    }
}
