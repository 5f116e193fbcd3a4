//! A node in a temporary folder, with a containerd that reads its configuration when it is restarted, as the real one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slipway_node_installer::containerd::handler::Handler;
use slipway_node_installer::containerd::{document, rewrite, schema::Schema, tables};
use slipway_node_installer::host::HostRoot;
use slipway_node_installer::host::files::Attributes;
use slipway_node_installer::journal::{
    Change, DaemonRecord, Expectation, Installed, Journal, ManagedFile, Stage, Transaction,
};
use slipway_node_installer::report::{Method, Steps};
use slipway_node_installer::systemd::SystemdError;
use slipway_node_installer::transaction::{Control, ControlError, Engine, Health, now_us};

use crate::golden::{CONFIG, SHIM};

pub(crate) const DROP_IN: &str = "/etc/containerd/conf.d/99-slipway.toml";
pub(crate) const ROOT: &str = "version = 3 # mine\n";

/// The node and what became of its containerd.
pub(crate) struct Node {
    _dir: tempfile::TempDir,
    pub(crate) root: HostRoot,
    pub(crate) journal: Journal,
    pub(crate) daemon: Daemon,
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
    /// Reads the root and its drop-ins as 2.x does.
    fn load(&self) -> Option<BTreeMap<String, String>> {
        let mut runtimes =
            BTreeMap::from([("runc".to_owned(), "io.containerd.runc.v2".to_owned())]);
        let text = fs::read_to_string(self.root.local(Path::new(CONFIG))).ok()?;
        let parsed = document::parse(Path::new(CONFIG), &text).ok()?;
        if rewrite::imports(Path::new(CONFIG), &parsed)
            .ok()?
            .is_empty()
        {
            return Some(runtimes);
        }
        let Ok(drop_in) = fs::read_to_string(self.root.local(Path::new(DROP_IN))) else {
            return Some(runtimes);
        };
        if self.allergic {
            return None;
        }
        let parsed = document::parse(Path::new(DROP_IN), &drop_in).ok()?;
        for (name, item) in tables::runtimes(&parsed, Schema::Split(3))?.iter() {
            runtimes.insert(name.to_owned(), tables::runtime_type(item)?.to_owned());
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
        self.watchdogs += 1;
        Ok(())
    }

    fn stop_watchdog(&mut self, _: &Transaction) -> Result<(), ControlError> {
        Ok(())
    }
}

impl Node {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("etc/containerd")).unwrap();
        fs::create_dir_all(dir.path().join("var/lib")).unwrap();
        fs::write(dir.path().join("etc/containerd/config.toml"), ROOT).unwrap();
        let root = HostRoot::new(dir.path()).unwrap();
        let journal = Journal::of(&root).unwrap();
        let mut daemon = Daemon {
            root: root.clone(),
            running: None,
            active_since_us: 0,
            restarts: 0,
            allergic: false,
            watchdogs: 0,
        };
        daemon.restart().unwrap();
        daemon.restarts = 0;
        Self {
            _dir: dir,
            root,
            journal,
            daemon,
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

    pub(crate) fn install(&self) -> Transaction {
        let handlers = [Handler::plain("wasmtime", Path::new(SHIM))];
        let drop_in = rewrite::drop_in(Schema::Split(3), &handlers, false);
        let import = "/etc/containerd/conf.d/*.toml".to_owned();
        let root = rewrite::add_import(Path::new(CONFIG), ROOT, &import).unwrap();
        let keep = |text: &str| self.journal.keep(text.as_bytes(), attributes()).unwrap();
        let (drop_in, old, new) = (keep(&drop_in), keep(ROOT), keep(&root));
        let goal = Installed {
            version: 1,
            digest: "0123".to_owned(),
            install_root: "/opt/slipway".into(),
            shim: SHIM.into(),
            handlers: vec!["wasmtime".to_owned()],
            method: Method::DropIn,
            files: vec![
                ManagedFile {
                    path: DROP_IN.into(),
                    base: None,
                    ours: drop_in.clone(),
                },
                ManagedFile {
                    path: CONFIG.into(),
                    base: Some(old.clone()),
                    ours: new.clone(),
                },
            ],
            additions: rewrite::Additions {
                import: Some(import),
                built_in_runc: false,
            },
            created_folders: vec!["/etc/containerd/conf.d".into()],
            daemon: daemon_record(),
            verified_boot: None,
        };
        Transaction {
            changes: vec![
                Change {
                    path: DROP_IN.into(),
                    before: None,
                    after: Some(drop_in),
                },
                Change {
                    path: CONFIG.into(),
                    before: Some(old),
                    after: Some(new),
                },
            ],
            created_folders: goal.created_folders.clone(),
            expect: Expectation {
                present: [("wasmtime".to_owned(), SHIM.to_owned())].into(),
                absent: Vec::new(),
            },
            goal: Some(goal),
            ..transaction("install")
        }
    }

    pub(crate) fn uninstall(&self) -> Transaction {
        let installed = self.journal.installed().unwrap().unwrap();
        let changes = installed.files.iter().rev();
        Transaction {
            changes: changes
                .map(|file| Change {
                    path: file.path.clone(),
                    before: Some(file.ours.clone()),
                    after: file.base.clone(),
                })
                .collect(),
            created_folders: installed.created_folders,
            expect: Expectation {
                present: BTreeMap::new(),
                absent: vec!["wasmtime".to_owned()],
            },
            ..transaction("uninstall")
        }
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

fn transaction(operation: &str) -> Transaction {
    Transaction {
        version: 1,
        id: "1".to_owned(),
        operation: operation.to_owned(),
        stage: Stage::Prepared,
        opened_us: now_us(),
        changes: Vec::new(),
        created_folders: Vec::new(),
        daemon: daemon_record(),
        expect: Expectation::default(),
        goal: None,
        install_root: "/opt/slipway".into(),
        payload: "0123".to_owned(),
        owner: None,
        watchdog: "slipway-watchdog-1.service".to_owned(),
    }
}

fn daemon_record() -> DaemonRecord {
    DaemonRecord {
        unit: "containerd.service".to_owned(),
        socket: "/run/containerd/containerd.sock".into(),
        config: CONFIG.into(),
    }
}

fn attributes() -> Attributes {
    use std::os::unix::fs::MetadataExt as _;
    let own = fs::metadata("/proc/self").unwrap();
    Attributes {
        mode: 0o644,
        uid: own.uid(),
        gid: own.gid(),
        xattrs: Vec::new(),
    }
}
