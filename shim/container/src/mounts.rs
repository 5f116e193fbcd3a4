//! The spec's mounts, in order, below the container's root.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use libc::{MS_BIND, MS_RDONLY, MS_REC};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use slipway_shim_wire::Mount;

use crate::SetupError;
use crate::cgroup;
use crate::error::While;
use crate::mount_api::{
    Attributes, attach, change, change_recursively, copy, create, map_ids, propagate,
};
use crate::root::{Missing, Root};
use crate::user::{Mapping, Users};

/// Mounts that become read-only once everything below them is made.
#[derive(Debug, Default)]
pub(crate) struct Deferred(Vec<(OwnedFd, String)>);

impl Deferred {
    pub(crate) fn push(&mut self, mount: OwnedFd, target: &Path) {
        self.0.push((mount, target.display().to_string()));
    }

    pub(crate) fn append(&mut self, mut later: Self) {
        self.0.append(&mut later.0);
    }

    /// Makes them read-only.
    pub(crate) fn finish(self) -> Result<(), SetupError> {
        for (mount, target) in self.0 {
            change(mount.as_fd(), Attributes::READ_ONLY)
                .when(|| format!("make {target} read-only"))?;
        }
        Ok(())
    }
}

/// The mounts before the cgroup's, and that with those after it: they are made in order.
pub(crate) fn by_cgroup(mounts: &[Mount]) -> (&[Mount], &[Mount]) {
    let is_cgroup = |mount: &Mount| matches!(mount.fstype.as_str(), "cgroup" | "cgroup2");
    let first = mounts.iter().position(is_cgroup);
    mounts.split_at(first.unwrap_or(mounts.len()))
}

/// Makes these mounts.
pub(crate) fn make(
    root: &Root,
    mounts: &[Mount],
    users: Option<&Users>,
) -> Result<Deferred, SetupError> {
    let mut deferred = Deferred::default();
    for mount in mounts {
        let action = || describe(mount);
        let made = match mount.fstype.as_str() {
            _ if mount.flags & MS_BIND != 0 => {
                let ids = mount.id_map.as_ref().map(|ids| Mapping::of(ids, users));
                bind(root, mount, ids.transpose()?.as_ref())?
            }
            "cgroup" | "cgroup2" => cgroup::make(root, mount)?,
            _ => new_file_system(root, mount, users).when(action)?,
        };
        if mount.propagation != 0 {
            propagate(made.as_fd(), mount.propagation).when(action)?;
        }
        let recursive = Attributes {
            set: mount.recursive.set,
            clear: mount.recursive.clear,
        };
        if !recursive.is_empty() {
            change_recursively(made.as_fd(), recursive).when(action)?;
        }
        if mount.flags & MS_BIND == 0 && must_be_read_only(mount) {
            deferred.push(made, &mount.target);
        }
    }
    Ok(deferred)
}

/// `/proc` always is: through `/proc/self/mem` a guest could write to the engine it runs in. Nothing in
/// WASI writes there.
fn must_be_read_only(mount: &Mount) -> bool {
    mount.flags & MS_RDONLY != 0 || mount.fstype == "proc"
}

fn describe(mount: &Mount) -> String {
    if mount.flags & MS_BIND != 0 {
        format!("mount {} on {}", mount.source, mount.target.display())
    } else {
        format!("mount {} on {}", mount.fstype, mount.target.display())
    }
}

/// Read-only binds are so at once: whoever shares the source must not see it writable for a moment.
fn bind(root: &Root, mount: &Mount, ids: Option<&Mapping<'_>>) -> Result<OwnedFd, SetupError> {
    let action = || describe(mount);
    let tree = copy(Path::new(&mount.source), mount.flags & MS_REC != 0).when(action)?;
    if let (Some(ids), Some(wanted)) = (ids, &mount.id_map) {
        map_ids(tree.as_fd(), ids.as_fd(), wanted.recursive).when(|| {
            format!(
                "{}, ID-mapped, which takes Linux 5.12 and a file system that can",
                action()
            )
        })?;
    }
    put(root, mount, tree).when(action)
}

fn put(root: &Root, mount: &Mount, tree: OwnedFd) -> Result<OwnedFd, Errno> {
    let directory = FileType::from_raw_mode(fstat(&tree)?.st_mode).is_dir();
    let missing = if directory {
        Missing::Directory
    } else {
        Missing::File
    };
    let place = root.find_or_make(&mount.target, missing)?;
    attach(&tree, place)?;
    let attributes = Attributes::from_flags(mount.flags, mount.clear);
    if !attributes.is_empty() {
        change(tree.as_fd(), attributes)?;
    }
    Ok(tree)
}

/// Writable first: mount points of later mounts may have to be made in it.
fn new_file_system(root: &Root, mount: &Mount, users: Option<&Users>) -> Result<OwnedFd, Errno> {
    let mapped = users.map(|users| users.options(&mount.fstype, &mount.data));
    let made = create(
        &mount.fstype,
        &mount.source,
        mount.flags & !MS_RDONLY,
        mapped.as_deref().unwrap_or(&mount.data),
    )?;
    let place = root.find_or_make(&mount.target, Missing::Directory)?;
    attach(&made, place)?;
    Ok(made)
}
