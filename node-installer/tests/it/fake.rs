//! A node in a temporary folder, with a containerd that reads its configuration when it is restarted, as the real one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slipway_node_installer::configuration::{self, Configuration, Wish};
use slipway_node_installer::containerd::handler::Handler;
use slipway_node_installer::containerd::layout::Layout;
use slipway_node_installer::containerd::version::Version;
use slipway_node_installer::containerd::{document, imports, schema::Schema, tables};
use slipway_node_installer::failure::Failure;
use slipway_node_installer::host::HostRoot;
use slipway_node_installer::journal::{DaemonRecord, InstalledShim, Journal, Stage, Transaction};
use slipway_node_installer::report::Steps;
use slipway_node_installer::spec::Leftovers;
use slipway_node_installer::systemd::SystemdError;
use slipway_node_installer::transaction::{Control, ControlError, Engine, Health, boot, now_us};

use crate::golden::CONFIG;

pub(crate) const DROP_IN: &str = "/etc/containerd/conf.d/99-slipway.toml";
pub(crate) const ROOT: &str = "version = 3 # mine\n";

/// The node and what became of its containerd.
pub(crate) struct Node {
    _dir: tempfile::TempDir,
    pub(crate) root: HostRoot,
    pub(crate) journal: Journal,
    pub(crate) daemon: Daemon,
    pub(crate) version: Version,
}

/// The containerd: what it has loaded.
#[derive(Clone)]
pub(crate) struct Daemon {
    root: HostRoot,
    pub(crate) running: Option<BTreeMap<String, String>>,
    active_since_us: u64,
    pub(crate) restarts: usize,
    /// Refuses to start with our drop-in there.
    pub(crate) allergic: bool,
    pub(crate) watchdogs: usize,
    /// Whether systemd does not answer.
    pub(crate) unreachable: bool,
}

/// Counts steps, and kills the process (as far as a test can) at one of them.
pub(crate) struct KillAt {
    pub(crate) step: usize,
    pub(crate) seen: Vec<String>,
}

impl Steps for KillAt {
    fn enter(&mut self, step: &str) {
        self.seen.push(step.to_owned());
        assert!(self.seen.len() != self.step, "killed at {step}");
    }
}

impl Daemon {
    /// Reads the root and what it imports, as 2.x merges them.
    fn load(&self) -> Option<BTreeMap<String, String>> {
        let mut runtimes =
            BTreeMap::from([("runc".to_owned(), "io.containerd.runc.v2".to_owned())]);
        for source in imports::load(&self.root, Path::new(CONFIG)).ok()? {
            if self.allergic && source.path == Path::new(DROP_IN) {
                return None;
            }
            let parsed = document::parse(&source.path, &source.text).ok()?;
            let schema = Schema::of(&source.path, &parsed).ok()?;
            let tables = tables::runtimes(&parsed, schema);
            for (name, item) in tables.iter().flat_map(|tables| tables.iter()) {
                runtimes.insert(name.to_owned(), tables::runtime_type(item)?.to_owned());
            }
        }
        Some(runtimes)
    }
}

impl Control for Daemon {
    fn restart(&mut self) -> Result<(), ControlError> {
        self.restarts += 1;
        self.running = self.load();
        if self.running.is_none() {
            let error = SystemdError::Job {
                what: "restart containerd".to_owned(),
                result: "failed".to_owned(),
            };
            return Err(error.into());
        }
        // Later than any file written so far, which is what a real clock gives as well.
        self.active_since_us = now_us() + 1;
        Ok(())
    }

    fn active_since_us(&mut self) -> Result<Option<u64>, ControlError> {
        Ok(self.running.is_some().then_some(self.active_since_us))
    }

    fn health(&mut self) -> Result<Health, ControlError> {
        Ok(match &self.running {
            Some(runtimes) => Health::Ready {
                runtimes: runtimes.clone(),
            },
            None => Health::Failed,
        })
    }

    fn last_words(&mut self) -> String {
        "containerd: allergic".to_owned()
    }

    fn start_watchdog(&mut self, _: &Transaction) -> Result<(), ControlError> {
        if self.unreachable {
            let error = SystemdError::Connect {
                path: "/run/systemd/private".into(),
                source: std::io::ErrorKind::NotFound.into(),
            };
            return Err(error.into());
        }
        self.watchdogs += 1;
        Ok(())
    }

    fn arm_recovery(&mut self, transaction: &Transaction) -> Result<(), ControlError> {
        let installer = Path::new("/opt/slipway/0123/slipway-node-installer");
        Ok(boot::arm(&self.root, transaction, installer)?)
    }

    fn disarm_recovery(&mut self) -> Result<(), ControlError> {
        Ok(boot::disarm(&self.root)?)
    }

    fn stop_watchdog(&mut self, _: &Transaction) -> Result<(), ControlError> {
        Ok(())
    }
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with((2, 4), ROOT)
    }

    /// A node whose containerd is of a version and has a root file.
    pub(crate) fn with(version: (u32, u32), root_file: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("etc/containerd")).unwrap();
        fs::create_dir_all(dir.path().join("etc/systemd/system")).unwrap();
        fs::create_dir_all(dir.path().join("var/lib")).unwrap();
        fs::write(dir.path().join("etc/containerd/config.toml"), root_file).unwrap();
        let root = HostRoot::new(dir.path()).unwrap();
        let journal = Journal::of(&root).unwrap();
        let mut daemon = Daemon {
            root: root.clone(),
            running: None,
            active_since_us: 0,
            restarts: 0,
            allergic: false,
            watchdogs: 0,
            unreachable: false,
        };
        daemon.restart().unwrap();
        daemon.restarts = 0;
        Self {
            _dir: dir,
            root,
            journal,
            daemon,
            version: Version {
                major: version.0,
                minor: version.1,
                patch: 2,
            },
        }
    }

    /// An engine that is killed at a step; 0 is never.
    pub(crate) fn with_engine<T>(
        &mut self,
        kill_at: usize,
        work: impl FnOnce(&mut Engine<'_>) -> T,
    ) -> (T, Vec<String>) {
        let mut steps = KillAt {
            step: kill_at,
            seen: Vec::new(),
        };
        let result = work(&mut Engine {
            root: &self.root,
            journal: &self.journal,
            control: &mut self.daemon,
            steps: &mut steps,
            ready_timeout: Duration::from_secs(5),
            restarted: false,
        });
        (result, steps.seen)
    }

    /// A transaction after which exactly these shims stand on the node.
    pub(crate) fn transaction(
        &self,
        operation: &str,
        shims: BTreeMap<String, InstalledShim>,
        leftovers: Leftovers,
    ) -> Result<Transaction, Failure> {
        let installed = self.journal.installed().unwrap();
        let daemon = daemon_record();
        let node = configuration::Node {
            root: &self.root,
            journal: &self.journal,
            daemon: &daemon,
            version: self.version,
            layout: &Layout::Own,
            install_root: Path::new("/opt/slipway"),
            installed: installed.as_ref(),
        };
        let wanted = Configuration::of(&node, Wish { shims, leftovers })?;
        let goal = wanted.goal(&node, &[], None)?;
        let created_folders = match (&goal, &installed) {
            (None, Some(installed)) => installed.created_folders.clone(),
            _ => wanted.missing_folders(&node),
        };
        Ok(Transaction {
            version: 2,
            id: "1".to_owned(),
            operation: operation.to_owned(),
            stage: Stage::Prepared,
            opened_us: now_us(),
            changes: wanted.changes(&node)?,
            created_folders,
            expect: wanted.expectation(&node),
            goal,
            daemon: daemon.clone(),
            install_root: "/opt/slipway".into(),
            payload: "0123".to_owned(),
            owner: None,
            watchdog: "slipway-watchdog-1.service".to_owned(),
            boot: None,
        })
    }

    pub(crate) fn install(&self) -> Transaction {
        let shims = [(
            "slipway".to_owned(),
            shim("0123/containerd-shim-slipway-v1", &["wasmtime"]),
        )];
        self.transaction("install", shims.into(), Leftovers::Keep)
            .unwrap()
    }

    pub(crate) fn uninstall(&self) -> Transaction {
        self.transaction("uninstall", BTreeMap::new(), Leftovers::Keep)
            .unwrap()
    }

    /// What stands on the node, by name.
    pub(crate) fn shims(&self) -> BTreeMap<String, InstalledShim> {
        let installed = self.journal.installed().unwrap();
        installed
            .map(|installed| installed.shims)
            .unwrap_or_default()
    }

    /// Whether the recovery unit is there, as systemd would find it: wanted by containerd's.
    pub(crate) fn is_armed(&self) -> bool {
        let wants = "/etc/systemd/system/containerd.service.wants/slipway-recovery.service";
        let unit = "/etc/systemd/system/slipway-recovery.service";
        let wanted = self.root.local(Path::new(wants)).symlink_metadata().is_ok();
        wanted && self.root.local(Path::new(unit)).exists()
    }

    /// The machine starts containerd.
    pub(crate) fn boot(&mut self) {
        let _ = self.daemon.restart();
    }

    pub(crate) fn serves(&self) -> bool {
        self.daemon
            .running
            .as_ref()
            .unwrap()
            .contains_key("wasmtime")
    }

    /// Every file but the journal's, with its bytes.
    pub(crate) fn configuration(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut pending = vec![self.root.local(Path::new("/etc"))];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    found.insert(entry.path(), Vec::new());
                    pending.push(entry.path());
                } else {
                    found.insert(entry.path(), fs::read(entry.path()).unwrap());
                }
            }
        }
        found
    }
}

/// A shim below the install root, or anywhere if its path is absolute.
pub(crate) fn shim(path: &str, handlers: &[&str]) -> InstalledShim {
    let adopted = path.starts_with('/');
    let path = Path::new("/opt/slipway").join(path);
    let digest = path
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_string_lossy();
    InstalledShim {
        digest: (!adopted).then(|| digest.into_owned()),
        handlers: handlers
            .iter()
            .map(|name| Handler::plain(name, &path))
            .collect(),
        path,
        served: BTreeMap::new(),
        local_image_pull: false,
    }
}

fn daemon_record() -> DaemonRecord {
    DaemonRecord {
        unit: "containerd.service".to_owned(),
        socket: "/run/containerd/containerd.sock".into(),
        config: CONFIG.into(),
        drop_ins: None,
    }
}
