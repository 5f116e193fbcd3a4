//! What every operation on a node begins with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::args::NodeArgs;
use crate::containerd::dump::Dump;
use crate::containerd::validate::Judge;
use crate::detect::server::Server;
use crate::detect::{self, Daemon};
use crate::failure::Failure;
use crate::host::files;
use crate::host::lock::{self, Lock};
use crate::host::{HostRoot, process};
use crate::journal::{
    Change, DaemonRecord, Expectation, Installed, InstalledShim, Journal, Stage, Transaction,
};
use crate::payload::INSTALLER;
use crate::report::{ContainerdReport, Report, ShimReport, Steps as _};
use crate::transaction::boot;
use crate::transaction::live::Live;
use crate::transaction::{Engine, now_us};

/// How long another installer, or a watchdog at work, is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(300);

/// A node that this process alone works on.
pub(super) struct Session<'a> {
    pub(super) args: &'a NodeArgs,
    pub(super) runtime: Runtime,
    pub(super) root: HostRoot,
    pub(super) journal: Journal,
    _lock: Lock,
}

impl<'a> Session<'a> {
    /// Takes the node's lock.
    pub(super) fn begin(args: &'a NodeArgs, report: &mut Report) -> Result<Self, Failure> {
        Self::begin_within(args, report, LOCK_PATIENCE)
    }

    /// Takes the node's lock within a time.
    pub(super) fn begin_within(
        args: &'a NodeArgs,
        report: &mut Report,
        patience: Duration,
    ) -> Result<Self, Failure> {
        report.enter("lock");
        let runtime = runtime()?;
        let root = HostRoot::new(&args.host_root).map_err(|error| Failure::refused(&error))?;
        let lock = lock::take(&root, patience).map_err(|error| Failure::refused(&error))?;
        let journal = Journal::of(&root).map_err(|error| Failure::refused(&error))?;
        Ok(Self {
            args,
            runtime,
            root,
            journal,
            _lock: lock,
        })
    }

    /// Ends what an earlier run left open, before anything else is looked at.
    pub(super) fn recover(&self, report: &mut Report, is_watchdog: bool) -> Result<(), Failure> {
        let open = self
            .journal
            .open_transaction()
            .map_err(|error| Failure::refused(&error))?;
        let Some(transaction) = open else {
            // A run that was killed after it closed its transaction.
            return boot::disarm(&self.root).map_err(|error| Failure::failed(&error));
        };
        let mut control = self.control(transaction.daemon, PathBuf::new());
        control.is_watchdog = is_watchdog;
        let (_, restarted) = self.engine(&mut control, report, |engine| {
            Ok((engine.recover()?, engine.restarted))
        })?;
        report.restarted |= restarted;
        Ok(())
    }

    /// Finds the node's containerd and reports it.
    pub(super) fn detect(&self, report: &mut Report) -> Result<Daemon, Failure> {
        report.enter("detect");
        let daemon =
            detect::detect(&self.runtime, &self.root).map_err(|error| Failure::refused(&error))?;
        report.containerd = Some(ContainerdReport {
            version: match daemon.server() {
                Server::Containerd => daemon.version.to_string(),
                server => format!("{server} {}", daemon.version),
            },
            config: daemon.config.clone(),
            unit: daemon.unit.clone(),
            socket: daemon.socket.clone(),
            method: None,
        });
        report.cgroup_driver = Some(
            if daemon.systemd_cgroup {
                "systemd"
            } else {
                "cgroupfs"
            }
            .to_owned(),
        );
        for folder in daemon
            .config
            .parent()
            .into_iter()
            .chain(daemon.layout.drop_ins())
        {
            if let Ok(folder) = self.root.locate(folder) {
                files::sweep(&folder);
            }
        }
        Ok(daemon)
    }

    /// What the host's containerd makes of its configuration as it is.
    pub(super) fn judge<'s>(&'s self, daemon: &'s Daemon) -> Judge<'s> {
        Judge {
            runtime: &self.runtime,
            root: &self.root,
            binary: &daemon.binary,
            config: &daemon.config,
            drop_ins: daemon.layout.drop_ins(),
        }
    }

    /// Refuses a node whose containerd would not load its own configuration, or not serve pods with it.
    pub(super) fn current_dump(&self, daemon: &Daemon) -> Result<Dump, Failure> {
        let dump = self
            .judge(daemon)
            .current()
            .map_err(|error| Failure::refused(&error))?;
        match dump.disabled_cri() {
            None => Ok(dump),
            Some(plugin) => Err(Failure::refusal(
                "CriDisabled",
                format!(
                    "containerd's configuration {} disables the plugin {plugin}",
                    daemon.config.display()
                ),
            )),
        }
    }

    pub(super) fn control(&self, daemon: DaemonRecord, installer: PathBuf) -> Live<'_> {
        Live {
            runtime: &self.runtime,
            root: &self.root,
            daemon,
            node: self.args,
            installer,
            is_watchdog: false,
            restarted_at: None,
        }
    }

    pub(super) fn engine<T>(
        &self,
        control: &mut Live<'_>,
        report: &mut Report,
        work: impl FnOnce(&mut Engine<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        work(&mut Engine {
            root: &self.root,
            journal: &self.journal,
            control,
            steps: report,
            ready_timeout: self.args.ready_timeout,
            restarted: false,
        })
    }

    /// Runs a transaction and writes down in the report whether containerd was restarted.
    pub(super) fn transact(
        &self,
        transaction: Transaction,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let installer = transaction
            .install_root
            .join(&transaction.payload)
            .join(INSTALLER);
        let mut control = self.control(transaction.daemon.clone(), installer);
        let mut restarted = false;
        let result = self.engine(&mut control, report, |engine| {
            let result = engine.run(transaction);
            restarted = engine.restarted;
            result
        });
        report.restarted |= restarted;
        result
    }

    /// A transaction that has not begun.
    pub(super) fn transaction(
        &self,
        operation: &str,
        daemon: &Daemon,
        changes: Vec<Change>,
        expect: Expectation,
        goal: Option<Installed>,
        watchdog_digest: &str,
    ) -> Transaction {
        let opened_us = now_us();
        let id = format!("{opened_us:x}");
        Transaction {
            version: crate::journal::record::VERSION,
            watchdog: format!("slipway-watchdog-{id}.service"),
            id,
            operation: operation.to_owned(),
            stage: Stage::Prepared,
            opened_us,
            changes,
            created_folders: Vec::new(),
            daemon: daemon_record(daemon),
            expect,
            goal,
            install_root: self.args.install_root.clone(),
            payload: watchdog_digest.to_owned(),
            owner: process::own_identity(&self.root),
            boot: process::init_start(&self.root),
        }
    }
}

/// What the journal keeps of a containerd.
pub(super) fn daemon_record(daemon: &Daemon) -> DaemonRecord {
    DaemonRecord {
        unit: daemon.unit.clone(),
        socket: daemon.socket.clone(),
        config: daemon.config.clone(),
        drop_ins: daemon.layout.drop_ins().map(Path::to_owned),
    }
}

/// Reports a shim that stands on the node.
pub(super) fn report_installed(
    report: &mut Report,
    name: &str,
    shim: &InstalledShim,
    installed: Option<&Installed>,
) {
    report.shim = Some(ShimReport {
        name: name.to_owned(),
        digest: shim.digest.clone(),
        path: shim.path.clone(),
    });
    report.handlers = shim.names();
    if let Some(containerd) = &mut report.containerd {
        containerd.method = installed.and_then(|installed| installed.method);
    }
}

pub(super) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::refusal("Internal", format!("cannot make an event loop: {error}"))
        })
}
