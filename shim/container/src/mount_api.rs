//! The mount system calls of Linux 5.2, by descriptor: a mount is made apart, put in its place, and then
//! changed through the same descriptor, so that nothing is looked up by path twice.

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use libc::{
    MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
};
use rustix::fs::{CWD, StatVfsMountFlags, fstatvfs};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    mount_change, mount_remount, move_mount, open_tree,
};

/// linux/mount.h, Linux 5.10; musl's headers and so the libc crate lack it.
pub(crate) const MS_NOSYMFOLLOW: u64 = 0x100;

/// The same attribute as a flag of mount(2) and of mount_setattr(2).
const ATTRIBUTES: [(u64, u64); 8] = [
    (libc::MS_RDONLY, MOUNT_ATTR_RDONLY),
    (libc::MS_NOSUID, MOUNT_ATTR_NOSUID),
    (libc::MS_NODEV, MOUNT_ATTR_NODEV),
    (libc::MS_NOEXEC, MOUNT_ATTR_NOEXEC),
    (libc::MS_NOATIME, MOUNT_ATTR_NOATIME),
    (libc::MS_STRICTATIME, MOUNT_ATTR_STRICTATIME),
    (libc::MS_NODIRATIME, MOUNT_ATTR_NODIRATIME),
    (MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW),
];

/// Options of a file system as a whole, by the names fsconfig(2) takes (fs/fs_context.c).
const OF_SUPERBLOCK: [(u64, &str); 4] = [
    (libc::MS_SYNCHRONOUS, "sync"),
    (libc::MS_DIRSYNC, "dirsync"),
    (libc::MS_MANDLOCK, "mand"),
    (libc::MS_LAZYTIME, "lazytime"),
];

/// Attributes to set and to clear, as `MOUNT_ATTR_*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

impl Attributes {
    pub(crate) const READ_ONLY: Self = Self {
        set: MOUNT_ATTR_RDONLY,
        clear: 0,
    };

    /// From `MS_*` flags to set and to clear.
    pub(crate) fn from_flags(set: u64, clear: u64) -> Self {
        let mut attributes = Self::default();
        for (flag, attribute) in ATTRIBUTES {
            if set & flag != 0 {
                attributes.set |= attribute;
            } else if clear & flag != 0 {
                attributes.clear |= attribute;
            }
        }
        // The three access-time modes are one field; relatime is its value 0 (mount_setattr(2)).
        let named = attributes.set | attributes.clear;
        if named & MOUNT_ATTR__ATIME != 0 || set & libc::MS_RELATIME != 0 {
            attributes.clear |= MOUNT_ATTR__ATIME;
        }
        attributes
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// The path that names a descriptor; all but the last step of a set-up sees the node's own `/proc`.
fn by_descriptor(descriptor: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

/// A copy of what is mounted at `path`, not yet in place.
pub(crate) fn copy(path: &Path, recursive: bool) -> Result<OwnedFd, Errno> {
    open_tree(CWD, path, copy_flags(recursive))
}

/// A copy of what is mounted at an open file or directory, not yet in place.
pub(crate) fn copy_of(place: impl AsFd, recursive: bool) -> Result<OwnedFd, Errno> {
    open_tree(
        place,
        "",
        copy_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH,
    )
}

fn copy_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags | OpenTreeFlags::AT_RECURSIVE
    } else {
        flags
    }
}

/// A new file system, not yet in place. `flags` are `MS_*`, `data` is comma separated.
pub(crate) fn create(fstype: &str, source: &str, flags: u64, data: &str) -> Result<OwnedFd, Errno> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
    if !source.is_empty() {
        fsconfig_set_string(&context, "source", source)?;
    }
    for (flag, name) in OF_SUPERBLOCK {
        if flags & flag != 0 {
            fsconfig_set_flag(&context, name)?;
        }
    }
    for option in data.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(&context, key, value)?,
            None => fsconfig_set_flag(&context, option)?,
        }
    }
    fsconfig_create(&context)?;
    let attributes = Attributes::from_flags(flags, 0).set;
    let attributes = u32::try_from(attributes).map_err(|_| Errno::INVAL)?;
    fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::from_bits_retain(attributes),
    )
}

/// Puts a mount made apart in its place.
pub(crate) fn attach(mount: impl AsFd, place: impl AsFd) -> Result<(), Errno> {
    move_mount(
        mount,
        "",
        place,
        "",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
}

/// Changes attributes of a mount in place, leaving the others as they are.
pub(crate) fn change(mount: BorrowedFd<'_>, attributes: Attributes) -> Result<(), Errno> {
    match set_attributes(mount, attributes, false) {
        // Before Linux 5.12.
        Err(Errno::NOSYS) => remount(mount, attributes),
        done => done,
    }
}

/// As [`change`], for every mount below as well; Linux 5.12.
pub(crate) fn change_recursively(
    mount: BorrowedFd<'_>,
    attributes: Attributes,
) -> Result<(), Errno> {
    set_attributes(mount, attributes, true)
}

/// Gives the files of a mount that is not yet in place the owners of a user namespace; Linux 5.12.
pub(crate) fn map_ids(
    mount: BorrowedFd<'_>,
    namespace: BorrowedFd<'_>,
    recursive: bool,
) -> Result<(), Errno> {
    let descriptor = namespace.as_raw_fd().cast_unsigned();
    let request = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: descriptor.into(),
    };
    set_request(mount, &request, recursive)
}

fn set_attributes(
    mount: BorrowedFd<'_>,
    attributes: Attributes,
    recursive: bool,
) -> Result<(), Errno> {
    let request = libc::mount_attr {
        attr_set: attributes.set,
        attr_clr: attributes.clear,
        propagation: 0,
        userns_fd: 0,
    };
    set_request(mount, &request, recursive)
}

fn set_request(
    mount: BorrowedFd<'_>,
    request: &libc::mount_attr,
    recursive: bool,
) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the descriptor is open, the path is a C string, and the kernel reads as many bytes of `request`
    // as it is long.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(request),
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}

/// The way of mount(2), which sets all attributes at once: those there are have to be repeated.
fn remount(mount: BorrowedFd<'_>, attributes: Attributes) -> Result<(), Errno> {
    let present = fstatvfs(mount)?.f_flag;
    let mut flags = MountFlags::BIND;
    for (held, flag, attribute) in [
        (
            StatVfsMountFlags::RDONLY,
            MountFlags::RDONLY,
            MOUNT_ATTR_RDONLY,
        ),
        (
            StatVfsMountFlags::NOSUID,
            MountFlags::NOSUID,
            MOUNT_ATTR_NOSUID,
        ),
        (
            StatVfsMountFlags::NODEV,
            MountFlags::NODEV,
            MOUNT_ATTR_NODEV,
        ),
        (
            StatVfsMountFlags::NOEXEC,
            MountFlags::NOEXEC,
            MOUNT_ATTR_NOEXEC,
        ),
        (
            StatVfsMountFlags::NOATIME,
            MountFlags::NOATIME,
            MOUNT_ATTR_NOATIME,
        ),
        (
            StatVfsMountFlags::NODIRATIME,
            MountFlags::NODIRATIME,
            MOUNT_ATTR_NODIRATIME,
        ),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME, 0),
    ] {
        let kept = present.contains(held) && attributes.clear & attribute == 0;
        if kept || attributes.set & attribute != 0 {
            flags |= flag;
        }
    }
    if attributes.set & MOUNT_ATTR_STRICTATIME != 0 {
        flags |= MountFlags::STRICTATIME;
    }
    mount_remount(by_descriptor(mount), flags, "")
}

/// Changes how mounts made below a mount in place travel to its copies and back; `flags` are `MS_*`.
pub(crate) fn propagate(mount: BorrowedFd<'_>, flags: u64) -> Result<(), Errno> {
    propagate_path(Path::new(&by_descriptor(mount)), flags)
}

/// As [`propagate`], for the mount at `path`.
pub(crate) fn propagate_path(path: &Path, flags: u64) -> Result<(), Errno> {
    let flags = u32::try_from(flags).map_err(|_| Errno::INVAL)?;
    mount_change(path, MountPropagationFlags::from_bits_retain(flags))
}

/// mount(2), for what the newer calls cannot take: option values above 255 bytes, which overlays have.
pub(crate) fn mount_classic(
    fstype: &str,
    source: &str,
    target: &Path,
    flags: u64,
    data: &str,
) -> Result<(), Errno> {
    let flags = u32::try_from(flags).map_err(|_| Errno::INVAL)?;
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    rustix::mount::mount(
        source,
        target,
        fstype,
        MountFlags::from_bits_retain(flags),
        &*data,
    )
}

/// An empty directory nobody can write to, not yet in place.
pub(crate) fn empty_directory() -> Result<OwnedFd, Errno> {
    create("tmpfs", "tmpfs", libc::MS_RDONLY, "mode=555")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_mount_become_attributes() {
        let attributes = Attributes::from_flags(libc::MS_RDONLY | libc::MS_NOSUID, libc::MS_NODEV);
        assert_eq!(attributes.set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
        assert_eq!(attributes.clear, MOUNT_ATTR_NODEV);
        assert!(Attributes::from_flags(libc::MS_BIND | libc::MS_REC, 0).is_empty());
    }

    #[test]
    fn an_access_time_mode_replaces_the_others() {
        let attributes = Attributes::from_flags(libc::MS_NOATIME, 0);
        assert_eq!(attributes.set, MOUNT_ATTR_NOATIME);
        assert_eq!(attributes.clear, MOUNT_ATTR__ATIME);
        let relatime = Attributes::from_flags(libc::MS_RELATIME, 0);
        assert_eq!((relatime.set, relatime.clear), (0, MOUNT_ATTR__ATIME));
    }
}
