//! Leaving the node's file systems.

use std::path::Path;

use libc::{MS_REC, MS_SLAVE};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{chdir, fchdir, pivot_root};

use crate::SetupError;
use crate::error::While;
use crate::mount_api::propagate_path;
use crate::root::Root;

/// Makes `root` the root directory and lets go of every mount of the node.
pub(crate) fn into(root: &Root) -> Result<(), SetupError> {
    change_root(root).when(|| "pivot into the root file system".to_owned())
}

/// pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one and is taken off, made
/// a slave first so that the node keeps its mounts.
fn change_root(root: &Root) -> Result<(), Errno> {
    let old = rustix::fs::open(
        "/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    fchdir(root)?;
    pivot_root(".", ".")?;
    fchdir(&old)?;
    propagate_path(Path::new("."), MS_SLAVE | MS_REC)?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")
}
