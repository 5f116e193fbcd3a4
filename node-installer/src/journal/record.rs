//! The journal's records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::containerd::handler::Handler;
use crate::containerd::rewrite::Additions;
use crate::crio;
use crate::detect::server::Server;
use crate::host::files::Attributes;
use crate::report::Method;

/// Of the format; a newer installer's journal is refused rather than misread, and an older one's is read
/// ([`super::upgrade`]).
pub const VERSION: u32 = 2;

/// A file's content at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Names the blob.
    pub sha256: String,
    /// Mode, owner, extended attributes.
    pub attributes: Attributes,
}

/// A file that a transaction changes. `None` means that there is no such file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The host path, links resolved.
    pub path: PathBuf,
    /// Before.
    pub before: Option<Snapshot>,
    /// After.
    pub after: Option<Snapshot>,
}

/// Which containerd a transaction concerns; enough to repair it while it does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonRecord {
    /// The systemd unit.
    pub unit: String,
    /// The CRI socket, a host path.
    pub socket: PathBuf,
    /// The root configuration file, a host path.
    pub config: PathBuf,
    /// The folder of drop-ins, a host path, if it is not a containerd but a CRI-O.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_ins: Option<PathBuf>,
}

impl DaemonRecord {
    /// Which program it is.
    pub fn server(&self) -> Server {
        Server::of(self.drop_ins.as_deref())
    }

    /// The folder in which a file is written before it is renamed to its place.
    pub fn waiting_room<'p>(&self, path: &'p Path) -> &'p Path {
        match self.server() {
            Server::Containerd => path.parent().unwrap_or(path),
            Server::CriO => crio::daemon::waiting_room(path),
        }
    }
}

/// What containerd must say after the restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// `runtime_type` by handler.
    pub present: BTreeMap<String, String>,
    /// Handlers that must be gone.
    pub absent: Vec<String>,
}

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Files may be written, all, some or none.
    Prepared,
    /// All files are written; containerd may have been restarted.
    Applied,
    /// containerd serves what it should; what is left is the journal's own.
    Proven,
    /// Files are being put back.
    RollingBack,
}

/// A change of the node under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// [`VERSION`].
    pub version: u32,
    /// Unique.
    pub id: String,
    /// `install` or `uninstall`.
    pub operation: String,
    /// How far it is.
    pub stage: Stage,
    /// When it was opened, in microseconds since the epoch: a containerd that became active later may have read any
    /// of its bytes.
    pub opened_us: u64,
    /// The files, in the order in which they are written.
    pub changes: Vec<Change>,
    /// Folders made for them, host paths, outermost first.
    pub created_folders: Vec<PathBuf>,
    /// The containerd.
    pub daemon: DaemonRecord,
    /// What it must say in the end.
    pub expect: Expectation,
    /// What stands on the node after a commit; `None` after an uninstall of the last shim.
    pub goal: Option<Installed>,
    /// Below which the binaries are.
    pub install_root: PathBuf,
    /// The payload whose folder holds the watchdog's binary.
    pub payload: String,
    /// The installer's process on the host and its start time.
    pub owner: Option<(u32, u64)>,
    /// The watchdog's unit.
    pub watchdog: String,
    /// The start of the node in which it was opened ([`init_start`](crate::host::process::init_start)): in the same, the
    /// watchdog is there to undo it.
    #[serde(default)]
    pub boot: Option<String>,
}

/// A file that an install manages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedFile {
    /// The host path, links resolved.
    pub path: PathBuf,
    /// Without us; `None` if there was no such file.
    pub base: Option<Snapshot>,
    /// With us.
    pub ours: Snapshot,
}

/// What stands on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// [`VERSION`].
    pub version: u32,
    /// The shims, by name.
    pub shims: BTreeMap<String, InstalledShim>,
    /// Below which their binaries are.
    pub install_root: PathBuf,
    /// How their handlers were put into containerd's configuration; `None` if nothing had to be written.
    pub method: Option<Method>,
    /// The files.
    pub files: Vec<ManagedFile>,
    /// What else was put into them.
    pub additions: Additions,
    /// Folders that are there because of us, host paths, outermost first.
    pub created_folders: Vec<PathBuf>,
    /// The containerd.
    pub daemon: DaemonRecord,
    /// The boot in which it was last seen to work.
    pub verified_boot: Option<String>,
}

/// One of the shims of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstalledShim {
    /// The payload; `None` if the shim was on the host before and is only adopted.
    pub digest: Option<String>,
    /// The shim, a host path.
    pub path: PathBuf,
    /// The handlers that were written for it.
    pub handlers: Vec<Handler>,
    /// Handlers that somebody else's table serves with it, and the `runtime_type` there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub served: BTreeMap<String, String>,
    /// Whether it asks for local image pull.
    #[serde(default)]
    pub local_image_pull: bool,
}

impl InstalledShim {
    /// The names of all its handlers.
    pub fn names(&self) -> Vec<String> {
        let written = self.handlers.iter().map(|handler| &handler.name);
        written.chain(self.served.keys()).cloned().collect()
    }
}

impl Installed {
    /// The digests of all payloads.
    pub fn digests(&self) -> impl Iterator<Item = &String> {
        self.shims.values().filter_map(|shim| shim.digest.as_ref())
    }
}
