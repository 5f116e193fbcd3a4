//! The control of a real node: systemd over D-Bus, containerd over CRI.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;

use super::boot;
use super::control::{Control, ControlError, Health};
use crate::args::NodeArgs;
use crate::cri::Cri;
use crate::host::{HostRoot, command};
use crate::journal::{DaemonRecord, Transaction};
use crate::systemd::{Systemd, UnitState};

const STOP_LIMIT: Duration = Duration::from_secs(30);
const WORDS_LIMIT: Duration = Duration::from_secs(10);

/// Long enough for a Go error, short enough for a report.
const MAX_WORDS: usize = 600;

/// A node's containerd.
#[derive(Debug)]
pub struct Live<'r> {
    /// To wait on.
    pub runtime: &'r Runtime,
    /// The node.
    pub root: &'r HostRoot,
    /// Its containerd.
    pub daemon: DaemonRecord,
    /// Patience.
    pub node: &'r NodeArgs,
    /// This program's copy on the node, a host path.
    pub installer: PathBuf,
    /// Whether this process is the watchdog, which must not wait for its own end, or there is none.
    pub is_watchdog: bool,
    /// When containerd was last restarted here, in seconds since the epoch: older words of it are no explanation.
    pub restarted_at: Option<u64>,
}

impl Live<'_> {
    /// A connection of its own for every call: PID 1 may have been re-executed since the last.
    fn systemd(&self) -> Result<Systemd, ControlError> {
        Ok(Systemd::connect(self.root)?)
    }

    fn unit(&self) -> Result<Option<UnitState>, ControlError> {
        Ok(self.systemd()?.unit(&self.daemon.unit)?)
    }

    fn journal_lines(&self) -> Option<String> {
        let journalctl = ["/usr/bin/journalctl", "/bin/journalctl"]
            .map(Path::new)
            .into_iter()
            .find(|path| self.root.locate(path).is_ok_and(|local| local.exists()))?;
        let since = self
            .restarted_at
            .map(|seconds| format!("--since=@{seconds}"));
        let unit = format!("--unit={}", self.daemon.unit);
        let mut arguments = vec![
            unit.as_str(),
            "--lines=100",
            "--output=cat",
            "--no-pager",
            "--quiet",
        ];
        arguments.extend(since.as_deref());
        let output =
            command::run(self.runtime, self.root, journalctl, &arguments, WORDS_LIMIT).ok()?;
        blamed_line(&output.stdout)
    }
}

impl Control for Live<'_> {
    fn restart(&mut self) -> Result<(), ControlError> {
        self.restarted_at = Some(super::now_us() / 1_000_000);
        Ok(self
            .systemd()?
            .restart(&self.daemon.unit, self.node.restart_timeout)?)
    }

    fn active_since_us(&mut self) -> Result<Option<u64>, ControlError> {
        Ok(self
            .unit()?
            .filter(|unit| unit.active == "active")
            .map(|unit| unit.active_since_us))
    }

    fn health(&mut self) -> Result<Health, ControlError> {
        let Some(unit) = self.unit()? else {
            return Ok(Health::Failed);
        };
        match unit.active.as_str() {
            "active" => {}
            "failed" => return Ok(Health::Failed),
            other => {
                return Ok(Health::Starting(format!(
                    "its unit is {other} ({})",
                    unit.sub
                )));
            }
        }
        Ok(
            match Cri::new(self.runtime, self.root, &self.daemon.socket).status() {
                Ok(status) if status.runtime_ready => Health::Ready {
                    runtimes: status.runtimes,
                },
                Ok(status) => {
                    Health::Starting(format!("its CRI is not ready ({})", status.message))
                }
                Err(error) => Health::Starting(crate::failure::chain(&error)),
            },
        )
    }

    fn last_words(&mut self) -> String {
        if let Some(line) = self.journal_lines() {
            return line;
        }
        match self.unit() {
            Ok(Some(unit)) => {
                format!(
                    "{} is {} (result {}, exit status {})",
                    self.daemon.unit, unit.active, unit.result, unit.exit_status
                )
            }
            Ok(None) => format!("systemd has no unit {}", self.daemon.unit),
            Err(error) => crate::failure::chain(&error),
        }
    }

    fn start_watchdog(&mut self, transaction: &Transaction) -> Result<(), ControlError> {
        let mut systemd = self.systemd()?;
        let seconds = |duration: Duration| duration.as_secs().to_string();
        let command = [
            self.installer.to_string_lossy().into_owned(),
            "watchdog".to_owned(),
            "--host-root".to_owned(),
            "/".to_owned(),
            "--install-root".to_owned(),
            transaction.install_root.to_string_lossy().into_owned(),
            "--restart-timeout".to_owned(),
            seconds(self.node.restart_timeout),
            "--ready-timeout".to_owned(),
            seconds(self.node.ready_timeout),
            "--transaction".to_owned(),
            transaction.id.clone(),
        ];
        let description = format!(
            "Slipway: undoes the {} of transaction {} unless it is confirmed",
            transaction.operation, transaction.id
        );
        Ok(systemd.start_transient(&transaction.watchdog, &description, &command)?)
    }

    fn arm_recovery(&mut self, transaction: &Transaction) -> Result<(), ControlError> {
        Ok(boot::arm(self.root, transaction, &self.installer)?)
    }

    fn disarm_recovery(&mut self) -> Result<(), ControlError> {
        Ok(boot::disarm(self.root)?)
    }

    fn stop_watchdog(&mut self, transaction: &Transaction) -> Result<(), ControlError> {
        if self.is_watchdog {
            return Ok(());
        }
        Ok(self.systemd()?.stop(&transaction.watchdog, STOP_LIMIT)?)
    }
}

/// The line that says why containerd went: its last of level fatal, else how its main function ends
/// (`containerd: …`), else its last error, else systemd's own on how the process exited.
fn blamed_line(journal: &str) -> Option<String> {
    let last = |wanted: &dyn Fn(&str) -> bool| {
        journal
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| wanted(line))
    };
    let line = last(&|line| line.contains("level=fatal"))
        .or_else(|| last(&|line| line.starts_with("containerd: ")))
        .or_else(|| last(&|line| line.contains("level=error")))
        .or_else(|| last(&|line| line.contains("exited, code=")))?;
    Some(line.chars().take(MAX_WORDS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_blame_is_the_gravest_and_latest() {
        let journal = "time=\"x\" level=error msg=\"old\"\ncontainerd: invalid configuration: boom\n\
            time=\"x\" level=info msg=\"bye\"\ncontainerd.service: Main process exited\n";
        assert_eq!(
            blamed_line(journal).as_deref(),
            Some("containerd: invalid configuration: boom")
        );
        let systemd = "containerd.service: Control process exited, code=exited, status=1/FAILURE\nFailed to start.\n";
        assert!(blamed_line(systemd).is_some_and(|line| line.contains("status=1/FAILURE")));
        assert_eq!(blamed_line("level=info msg=fine\n"), None);
    }
}
