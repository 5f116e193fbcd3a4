//! Device nodes and the links every `/dev` has.

use std::os::fd::AsFd;
use std::path::{Component, Path};

use libc::MS_BIND;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, makedev, mknodat, openat, statat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;
use slipway_shim_wire::{DeviceNode, Mount};

use crate::SetupError;
use crate::error::While;
use crate::mount_api::{attach, copy};
use crate::root::Root;
use crate::user::Users;

/// "Default Filesystem Links", OCI runtime specification, `runtime-linux.md`; `ptmx` by "Default Devices".
const LINKS: [(&str, &str); 6] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Whether `/dev` is the container's own; one bound from the node is not ours to fill.
pub(crate) fn wanted(mounts: &[Mount]) -> bool {
    !mounts
        .iter()
        .any(|mount| mount.flags & MS_BIND != 0 && is_dev(&mount.target))
}

fn is_dev(target: &Path) -> bool {
    let names = target
        .components()
        .filter(|component| matches!(component, Component::Normal(_)));
    names.eq(Path::new("dev").components())
}

/// Makes nodes and links. Expects a umask of 0.
pub(crate) fn make(
    root: &Root,
    devices: &[DeviceNode],
    users: Option<&Users>,
) -> Result<(), SetupError> {
    for device in devices {
        // One who is nobody in the pod leaves the device to the node's root.
        let owner = users.map_or(Some((device.uid, device.gid)), |users| {
            users.owner(device.uid, device.gid)
        });
        make_node(root, device, owner.unwrap_or((0, 0)))
            .when(|| format!("make the device {}", device.path.display()))?;
    }
    for (path, target) in LINKS {
        link(root, Path::new(path), target).when(|| format!("make the link {path}"))?;
    }
    Ok(())
}

fn make_node(root: &Root, device: &DeviceNode, owner: (u32, u32)) -> Result<(), Errno> {
    let (folder, name) = root.parent(&device.path)?;
    let number = makedev(device.major, device.minor);
    let kind = FileType::from_raw_mode(device.kind);
    let mode = Mode::from_raw_mode(device.mode);
    match mknodat(&folder, name, kind, mode, number) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            let there = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let same = FileType::from_raw_mode(there.st_mode) == kind && there.st_rdev == number;
            return if same { Ok(()) } else { Err(Errno::EXIST) };
        }
        Err(Errno::PERM) => return bind_node(folder.as_fd(), name, device),
        Err(error) => return Err(error),
    }
    if owner != (0, 0) {
        chownat(
            &folder,
            name,
            Some(Uid::from_raw(owner.0)),
            Some(Gid::from_raw(owner.1)),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
    }
    Ok(())
}

/// Where making nodes is forbidden, the node's own of the same number will do.
fn bind_node(
    folder: std::os::fd::BorrowedFd<'_>,
    name: &std::ffi::OsStr,
    device: &DeviceNode,
) -> Result<(), Errno> {
    let copy = copy(&device.path, false)?;
    let stat = fstat(&copy)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::from_raw_mode(device.kind)
        || stat.st_rdev != makedev(device.major, device.minor)
    {
        return Err(Errno::PERM);
    }
    let place = openat(
        folder,
        name,
        OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o644),
    )?;
    attach(&copy, &place)
}

fn link(root: &Root, path: &Path, target: &str) -> Result<(), Errno> {
    let (folder, name) = root.parent(path)?;
    match symlinkat(target, &folder, name) {
        Err(Errno::EXIST) if path.ends_with("ptmx") => {
            // A node that an image brought would be the node's multiplexer (runc replaces it too).
            unlinkat(&folder, name, AtFlags::empty())?;
            symlinkat(target, &folder, name)
        }
        Err(Errno::EXIST) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dev_of_the_node_is_left_alone() {
        let mut mount = Mount {
            target: "/dev/".into(),
            flags: MS_BIND,
            ..Mount::default()
        };
        assert!(!wanted(std::slice::from_ref(&mount)));
        mount.target = "/dev/shm".into();
        assert!(wanted(std::slice::from_ref(&mount)));
        mount = Mount {
            target: "/dev".into(),
            fstype: "tmpfs".into(),
            ..Mount::default()
        };
        assert!(wanted(std::slice::from_ref(&mount)));
    }
}
