//! Whether a folder of the host can take our binaries.

use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::{HostRoot, root::RootError};
use crate::failure::Reason;

/// Why a folder cannot hold binaries.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// `mount -o noexec`.
    #[error("{0} is on a file system mounted noexec: choose another --install-root")]
    NoExec(PathBuf),
    /// `mount -o ro`, or a read-only image.
    #[error("{0} is on a read-only file system: choose another --install-root")]
    ReadOnly(PathBuf),
    /// The path itself.
    #[error(transparent)]
    Root(#[from] RootError),
    /// `statvfs` failed.
    #[error("cannot examine the file system of {path}")]
    Stat {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl Reason for MountError {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoExec(_) => "InstallRootNoExec",
            Self::ReadOnly(_) => "InstallRootReadOnly",
            Self::Root(error) => error.reason(),
            Self::Stat { .. } => "InstallRootUnreadable",
        }
    }
}

/// Refuses a folder (or, if it does not exist yet, the nearest that does) that is read-only or `noexec`.
pub fn check_install_root(root: &HostRoot, folder: &Path) -> Result<(), MountError> {
    let local = root.locate(folder)?;
    let existing = local
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(root.base());
    let stat = rustix::fs::statvfs(existing).map_err(|error| MountError::Stat {
        path: folder.to_owned(),
        source: error.into(),
    })?;
    if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(MountError::ReadOnly(folder.to_owned()));
    }
    if stat.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(MountError::NoExec(folder.to_owned()));
    }
    Ok(())
}
