//! A node of some kind in a folder, whose configuration goes through installs, upgrades, uninstalls and crashes as the
//! installer would take it, short of systemd and CRI.

#[path = "cycle/transactions.rs"]
pub(crate) mod transactions;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use slipway_node_installer::containerd::dump::Dump;
use slipway_node_installer::containerd::validate::Judge;
use slipway_node_installer::containerd::version::Version;
use slipway_node_installer::crio;
use slipway_node_installer::detect::distribution::Distribution;
use slipway_node_installer::host::HostRoot;
use slipway_node_installer::journal::Journal;
use slipway_node_installer::spec::Leftovers;

use crate::nodes::Kind;

/// Below which the shims are.
pub(crate) const INSTALL_ROOT: &str = "/opt/slipway";

/// What the configuration means to containerd: `runtime_type` by handler, or why it does not load.
pub(crate) type Meaning = Result<BTreeMap<String, String>, String>;

/// Who says what a configuration means.
#[derive(Clone)]
pub(crate) enum Reader {
    /// A model of containerd, for a node below a folder.
    Model(fn(&Cycle<'_>) -> Meaning),
    /// A containerd of this machine, for a node whose paths are this machine's own.
    Real(PathBuf),
}

/// A node.
pub(crate) struct Cycle<'k> {
    dir: tempfile::TempDir,
    pub(crate) kind: &'k Kind,
    pub(crate) version: Version,
    pub(crate) root: HostRoot,
    /// The folder of the node, which is `root` or below it.
    folder: HostRoot,
    /// What stands before every path of the node: nothing if `root` is its folder.
    prefix: String,
    pub(crate) journal: Journal,
    /// What installs do with the tables of other installers.
    pub(crate) leftovers: Leftovers,
    /// CRI-O's folder of drop-ins.
    pub(crate) drop_ins: Option<PathBuf>,
    reader: Reader,
    runtime: tokio::runtime::Runtime,
    active_since_us: u64,
}

impl<'k> Cycle<'k> {
    /// A new node.
    pub(crate) fn new(kind: &'k Kind, version: Version, reader: Reader) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = HostRoot::new(dir.path()).unwrap();
        fs::create_dir_all(dir.path().join("var/lib")).unwrap();
        let (root, prefix) = if matches!(reader, Reader::Real(_)) {
            (
                HostRoot::new(Path::new("/")).unwrap(),
                folder.base().to_string_lossy().into_owned(),
            )
        } else {
            (folder.clone(), String::new())
        };
        let drop_ins = (kind.distribution == Distribution::CriO)
            .then(|| PathBuf::from(format!("{prefix}{}", crio::daemon::FOLDER)));
        let node = Self {
            leftovers: Leftovers::Keep,
            drop_ins,
            journal: Journal::of(&folder).unwrap(),
            folder,
            dir,
            kind,
            version,
            root,
            prefix,
            reader,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            active_since_us: 0,
        };
        fs::create_dir_all(node.dir.path().join("etc/containerd")).unwrap();
        fs::create_dir_all(node.dir.path().join("etc/systemd/system")).unwrap();
        for (path, text) in kind.files {
            node.write(path, text);
        }
        node.render();
        node
    }

    /// A path of the node, as containerd and the installer name it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("{}{path}", self.prefix))
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.local(&self.path(path))).ok()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let local = self.root.local(&self.path(path));
        fs::create_dir_all(local.parent().unwrap()).unwrap();
        fs::write(local, text.replace('@', &self.prefix)).unwrap();
    }

    /// The other way round: a path without what stands before it in a test.
    pub(crate) fn inner(&self, path: &Path) -> String {
        let path = path.to_string_lossy();
        path.strip_prefix(&self.prefix).unwrap_or(&path).to_owned()
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.root.local(&self.path(path))).unwrap();
    }

    /// What the distribution does when it starts containerd.
    pub(crate) fn render(&self) {
        if let Some((path, text)) = self.kind.render(&|path| self.read(path)) {
            self.write(path, &text);
        }
    }

    /// What containerd makes of it now.
    pub(crate) fn meaning(&self) -> Meaning {
        match &self.reader {
            Reader::Model(read) => read(self),
            Reader::Real(_) => {
                let runtimes = self.dump()?.runtimes.into_iter();
                Ok(runtimes
                    .map(|(name, runtime)| (name, runtime.runtime_type))
                    .collect())
            }
        }
    }

    /// All that a real containerd makes of it.
    pub(crate) fn dump(&self) -> Result<Dump, String> {
        let config = self.path(self.kind.config);
        self.judge(&config)
            .current()
            .map_err(|error| error.to_string())
    }

    fn judge<'s>(&'s self, config: &'s Path) -> Judge<'s> {
        let binary = match &self.reader {
            Reader::Real(binary) => binary.as_path(),
            Reader::Model(_) => Path::new("/nonexistent"),
        };
        Judge {
            runtime: &self.runtime,
            root: &self.root,
            binary,
            config,
            drop_ins: self.drop_ins.as_deref(),
        }
    }

    /// Every file and folder but the journal's, with its bytes.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut pending = vec![self.dir.path().to_owned()];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                let path = entry.path();
                if path.ends_with("var/lib/slipway") {
                    continue;
                }
                let is_folder = entry.file_type().unwrap().is_dir();
                let bytes = if is_folder {
                    Vec::new()
                } else {
                    fs::read(&path).unwrap()
                };
                found.insert(
                    path.strip_prefix(self.dir.path()).unwrap().to_owned(),
                    bytes,
                );
                if is_folder {
                    pending.push(path);
                }
            }
        }
        found
    }
}
