//! The journal's records.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::containerd::rewrite::Additions;
use crate::host::files::Attributes;
use crate::report::Method;

/// Of the format; a newer installer's journal is refused rather than misread.
pub const VERSION: u32 = 1;

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
    /// What stands on the node after a commit; `None` after an uninstall.
    pub goal: Option<Installed>,
    /// Below which the binaries are.
    pub install_root: PathBuf,
    /// The payload whose folder holds the watchdog's binary.
    pub payload: String,
    /// The installer's process on the host and its start time.
    pub owner: Option<(u32, u64)>,
    /// The watchdog's unit.
    pub watchdog: String,
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
    /// The payload.
    pub digest: String,
    /// Below which it is.
    pub install_root: PathBuf,
    /// The shim, a host path.
    pub shim: PathBuf,
    /// The handlers.
    pub handlers: Vec<String>,
    /// How they were put into containerd's configuration.
    pub method: Method,
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
