//! What the installer does to a node, as transactions that can be killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slipway_node_installer::configuration::{Configuration, Node, Wish};
use slipway_node_installer::containerd::handler::Handler;
use slipway_node_installer::containerd::layout::Layout;
use slipway_node_installer::failure::Failure;
use slipway_node_installer::journal::{DaemonRecord, Installed, InstalledShim, Stage, Transaction};
use slipway_node_installer::report::Steps;
use slipway_node_installer::spec::Leftovers;
use slipway_node_installer::transaction::{Control, ControlError, Engine, Health, boot, now_us};

use super::{Cycle, INSTALL_ROOT, Reader};

/// The shims that stand on a node, or shall, by name.
pub(crate) type Shims = BTreeMap<String, InstalledShim>;

/// Our shim.
pub(crate) fn ours(digest: &str, names: &[&str]) -> InstalledShim {
    let path = PathBuf::from(format!(
        "{INSTALL_ROOT}/{digest}/containerd-shim-slipway-v1"
    ));
    InstalledShim {
        digest: Some(digest.to_owned()),
        handlers: names
            .iter()
            .map(|name| Handler::plain(name, &path))
            .collect(),
        path,
        served: BTreeMap::new(),
        local_image_pull: false,
    }
}

/// A crun with a Wasm engine, which serves these handlers.
pub(crate) fn crun(names: &[&str]) -> InstalledShim {
    let path = Path::new("/usr/bin/crun-wasm");
    let handlers = names.iter().map(|name| Handler::plain(name, path));
    InstalledShim {
        digest: None,
        handlers: handlers.collect(),
        path: path.to_owned(),
        served: BTreeMap::new(),
        local_image_pull: false,
    }
}

/// A shim that was on the host before.
pub(crate) fn adopted() -> InstalledShim {
    let path = Path::new("/usr/local/bin/containerd-shim-lunatic-v1");
    InstalledShim {
        digest: None,
        handlers: vec![Handler::plain("lunatic", path)],
        path: path.to_owned(),
        served: BTreeMap::new(),
        local_image_pull: false,
    }
}

impl Cycle<'_> {
    /// What stands on the node.
    pub(crate) fn shims(&self) -> Shims {
        let installed = self.journal.installed().unwrap();
        installed
            .map(|installed| installed.shims)
            .unwrap_or_default()
    }

    /// Installs our shim beside what is there; killed at a step unless that is 0.
    pub(crate) fn install(
        &mut self,
        digest: &str,
        names: &[&str],
        kill_at: usize,
    ) -> Result<(), Failure> {
        let mut shims = self.shims();
        shims.insert("slipway".to_owned(), ours(digest, names));
        self.become_node(shims, kill_at)
    }

    /// Makes these shims, and no others, stand on the node; killed at a step unless that is 0.
    pub(crate) fn become_node(&mut self, shims: Shims, kill_at: usize) -> Result<(), Failure> {
        let transaction = self.transaction(shims)?;
        self.with_engine(kill_at, |engine| engine.run(transaction))
    }

    /// The machine stops, and starts again: what the recovery unit does, if it is there, and then the distribution.
    pub(crate) fn power_cut(&mut self) -> Result<(), Failure> {
        if self
            .folder
            .local(Path::new("/etc/systemd/system/slipway-recovery.service"))
            .exists()
        {
            self.with_engine(0, |engine| engine.recover_at_boot().map(drop))?;
        }
        self.render();
        Ok(())
    }

    /// Ends what a kill left open.
    pub(crate) fn recover(&mut self) -> Result<(), Failure> {
        self.with_engine(0, |engine| engine.recover().map(drop))
    }

    /// What would be done to the files, and what would stand there then.
    pub(crate) fn configuration(
        &self,
        shims: Shims,
    ) -> Result<(Configuration, Option<Installed>), Failure> {
        self.with_node(|node| {
            // An uninstall leaves them alone.
            let leftovers = if shims.is_empty() {
                Leftovers::Keep
            } else {
                self.leftovers
            };
            let configuration = Configuration::of(node, Wish { shims, leftovers })?;
            let goal = configuration.goal(node, &[], None)?;
            Ok((configuration, goal))
        })
    }

    /// The transaction, once containerd itself has been asked as the installer asks it.
    fn transaction(&self, shims: Shims) -> Result<Transaction, Failure> {
        let (configuration, goal) = self.configuration(shims)?;
        self.with_node(|node| {
            if matches!(self.reader, Reader::Real(_)) {
                let judge = self.judge(&node.daemon.config);
                let before = judge.current().map_err(|error| Failure::refused(&error))?;
                let after = judge
                    .with_changes(&configuration.candidates())
                    .map_err(|error| Failure::refused(&error))?;
                configuration
                    .check(node, &before, &after)
                    .map_err(|error| Failure::refused(&error))?;
            }
            let created_folders = match (&goal, node.installed) {
                (None, Some(installed)) => installed.created_folders.clone(),
                _ => configuration.missing_folders(node),
            };
            Ok(Transaction {
                version: 2,
                id: "1".to_owned(),
                operation: if goal.is_some() {
                    "install"
                } else {
                    "uninstall"
                }
                .to_owned(),
                stage: Stage::Prepared,
                opened_us: now_us(),
                changes: configuration.changes(node)?,
                created_folders,
                expect: configuration.expectation(node),
                goal,
                daemon: node.daemon.clone(),
                install_root: INSTALL_ROOT.into(),
                payload: "0123".to_owned(),
                owner: None,
                watchdog: "slipway-watchdog-1.service".to_owned(),
                boot: None,
            })
        })
    }

    fn with_node<T>(
        &self,
        work: impl FnOnce(&Node<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let daemon = DaemonRecord {
            unit: "containerd.service".to_owned(),
            socket: "/run/containerd/containerd.sock".into(),
            config: self.path(self.kind.config),
            drop_ins: self.drop_ins.clone(),
        };
        let text = self.read(self.kind.config);
        let layout = Layout::of(
            self.kind.distribution,
            self.version,
            &daemon.config,
            text.as_deref(),
        )
        .map_err(|error| Failure::refused(&error))?;
        let installed = self.journal.installed().unwrap();
        work(&Node {
            root: &self.root,
            journal: &self.journal,
            daemon: &daemon,
            version: self.version,
            layout: &layout,
            install_root: Path::new(INSTALL_ROOT),
            installed: installed.as_ref(),
        })
    }

    fn with_engine<T>(&mut self, kill_at: usize, work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
        let (root, journal) = (self.root.clone(), self.journal.clone());
        let mut steps = Killer { kill_at, seen: 0 };
        work(&mut Engine {
            root: &root,
            journal: &journal,
            control: self,
            steps: &mut steps,
            ready_timeout: Duration::from_secs(5),
            restarted: false,
        })
    }
}

/// Kills the process, as far as a test can, at one of the steps.
struct Killer {
    kill_at: usize,
    seen: usize,
}

impl Steps for Killer {
    fn enter(&mut self, step: &str) {
        self.seen += 1;
        if self.seen == self.kill_at {
            // Not a panic: nothing is to be printed.
            std::panic::resume_unwind(Box::new(format!("killed at {step}")));
        }
    }
}

impl Control for Cycle<'_> {
    fn restart(&mut self) -> Result<(), ControlError> {
        self.render();
        self.active_since_us = now_us() + 1;
        Ok(())
    }

    fn active_since_us(&mut self) -> Result<Option<u64>, ControlError> {
        Ok(Some(self.active_since_us))
    }

    fn health(&mut self) -> Result<Health, ControlError> {
        Ok(match self.meaning() {
            Ok(runtimes) => Health::Ready { runtimes },
            Err(_) => Health::Failed,
        })
    }

    fn last_words(&mut self) -> String {
        self.meaning().err().unwrap_or_default()
    }

    fn start_watchdog(&mut self, _: &Transaction) -> Result<(), ControlError> {
        Ok(())
    }

    fn arm_recovery(&mut self, transaction: &Transaction) -> Result<(), ControlError> {
        let installer = Path::new("/opt/slipway/0123/slipway-node-installer");
        Ok(boot::arm(&self.folder, transaction, installer)?)
    }

    fn disarm_recovery(&mut self) -> Result<(), ControlError> {
        Ok(boot::disarm(&self.folder)?)
    }

    fn stop_watchdog(&mut self, _: &Transaction) -> Result<(), ControlError> {
        Ok(())
    }
}
