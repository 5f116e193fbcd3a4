//! Option names to flags. Names are those of the OCI runtime specification 1.2 (`config.md`, "Linux mount
//! options") and runc.

use libc::{
    MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_RELATIME, MOUNT_ATTR_STRICTATIME, MS_BIND, MS_DIRSYNC, MS_I_VERSION, MS_LAZYTIME,
    MS_MANDLOCK, MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_POSIXACL,
    MS_PRIVATE, MS_RDONLY, MS_REC, MS_RELATIME, MS_REMOUNT, MS_SHARED, MS_SILENT, MS_SLAVE,
    MS_STRICTATIME, MS_SYNCHRONOUS, MS_UNBINDABLE,
};
use slipway_shim_wire::{Mount, RecursiveAttributes};

use crate::SpecError;
use crate::error::without_nul;

/// linux/mount.h, Linux 5.10; musl's headers and so the libc crate lack it.
const MS_NOSYMFOLLOW: u64 = 0x100;

/// What an option does.
pub(super) enum Effect {
    Set(u64),
    Clear(u64),
    Propagation(u64),
    RecursiveSet(u64),
    RecursiveClear(u64),
    Nothing,
    Unsupported,
    Data,
}

/// The meaning of one option; what is not known belongs to the file system.
pub(super) fn effect(option: &str) -> Effect {
    use Effect::{Clear, Nothing, Propagation, RecursiveClear, RecursiveSet, Set, Unsupported};
    match option {
        "defaults" | "" => Nothing,
        "bind" => Set(MS_BIND),
        "rbind" => Set(MS_BIND | MS_REC),
        "ro" => Set(MS_RDONLY),
        "rw" => Clear(MS_RDONLY),
        "nosuid" => Set(MS_NOSUID),
        "suid" => Clear(MS_NOSUID),
        "nodev" => Set(MS_NODEV),
        "dev" => Clear(MS_NODEV),
        "noexec" => Set(MS_NOEXEC),
        "exec" => Clear(MS_NOEXEC),
        "sync" => Set(MS_SYNCHRONOUS),
        "async" => Clear(MS_SYNCHRONOUS),
        "dirsync" => Set(MS_DIRSYNC),
        "remount" => Set(MS_REMOUNT),
        "mand" => Set(MS_MANDLOCK),
        "nomand" => Clear(MS_MANDLOCK),
        "noatime" => Set(MS_NOATIME),
        "atime" => Clear(MS_NOATIME),
        "nodiratime" => Set(MS_NODIRATIME),
        "diratime" => Clear(MS_NODIRATIME),
        "relatime" => Set(MS_RELATIME),
        "norelatime" => Clear(MS_RELATIME),
        "strictatime" => Set(MS_STRICTATIME),
        "nostrictatime" => Clear(MS_STRICTATIME),
        "lazytime" => Set(MS_LAZYTIME),
        "nolazytime" => Clear(MS_LAZYTIME),
        "silent" => Set(MS_SILENT),
        "loud" => Clear(MS_SILENT),
        "iversion" => Set(MS_I_VERSION),
        "noiversion" => Clear(MS_I_VERSION),
        "acl" => Set(MS_POSIXACL),
        "noacl" => Clear(MS_POSIXACL),
        "nosymfollow" => Set(MS_NOSYMFOLLOW),
        "symfollow" => Clear(MS_NOSYMFOLLOW),
        "private" => Propagation(MS_PRIVATE),
        "rprivate" => Propagation(MS_PRIVATE | MS_REC),
        "shared" => Propagation(MS_SHARED),
        "rshared" => Propagation(MS_SHARED | MS_REC),
        "slave" => Propagation(MS_SLAVE),
        "rslave" => Propagation(MS_SLAVE | MS_REC),
        "unbindable" => Propagation(MS_UNBINDABLE),
        "runbindable" => Propagation(MS_UNBINDABLE | MS_REC),
        "rro" => RecursiveSet(MOUNT_ATTR_RDONLY),
        "rrw" => RecursiveClear(MOUNT_ATTR_RDONLY),
        "rnosuid" => RecursiveSet(MOUNT_ATTR_NOSUID),
        "rsuid" => RecursiveClear(MOUNT_ATTR_NOSUID),
        "rnodev" => RecursiveSet(MOUNT_ATTR_NODEV),
        "rdev" => RecursiveClear(MOUNT_ATTR_NODEV),
        "rnoexec" => RecursiveSet(MOUNT_ATTR_NOEXEC),
        "rexec" => RecursiveClear(MOUNT_ATTR_NOEXEC),
        "rnodiratime" => RecursiveSet(MOUNT_ATTR_NODIRATIME),
        "rdiratime" => RecursiveClear(MOUNT_ATTR_NODIRATIME),
        "rrelatime" => RecursiveSet(MOUNT_ATTR_RELATIME),
        "rnorelatime" => RecursiveClear(MOUNT_ATTR_RELATIME),
        "rnoatime" => RecursiveSet(MOUNT_ATTR_NOATIME),
        "ratime" => RecursiveClear(MOUNT_ATTR_NOATIME),
        "rstrictatime" => RecursiveSet(MOUNT_ATTR_STRICTATIME),
        "rnostrictatime" => RecursiveClear(MOUNT_ATTR_STRICTATIME),
        "rnosymfollow" => RecursiveSet(MOUNT_ATTR_NOSYMFOLLOW),
        "rsymfollow" => RecursiveClear(MOUNT_ATTR_NOSYMFOLLOW),
        "idmap" | "ridmap" | "tmpcopyup" | "loop" => Unsupported,
        _ if option.starts_with("uidmap=")
            || option.starts_with("gidmap=")
            || option.starts_with("X-containerd.") =>
        {
            Unsupported
        }
        _ => Effect::Data,
    }
}

/// Splits options; `field` names the mount in errors.
pub(super) fn options<'a>(
    field: &str,
    options: impl IntoIterator<Item = &'a String>,
) -> Result<Mount, SpecError> {
    let mut mount = Mount::default();
    let mut data: Vec<&str> = Vec::new();
    for (index, option) in options.into_iter().enumerate() {
        match effect(option) {
            Effect::Set(flags) => {
                mount.flags |= flags;
                mount.clear &= !flags;
            }
            Effect::Clear(flags) => {
                mount.flags &= !flags;
                mount.clear |= flags;
            }
            Effect::Propagation(flags) => mount.propagation = flags,
            Effect::RecursiveSet(flags) => set_recursive(&mut mount.recursive, flags),
            Effect::RecursiveClear(flags) => clear_recursive(&mut mount.recursive, flags),
            Effect::Nothing => {}
            Effect::Unsupported => {
                return Err(SpecError::unsupported(
                    format!("{field}.options[{index}]"),
                    format!("the mount option {option:?}"),
                ));
            }
            Effect::Data => {
                without_nul(|| format!("{field}.options[{index}]"), option)?;
                data.push(option);
            }
        }
    }
    mount.data = data.join(",");
    Ok(mount)
}

/// The access-time attributes are one field of the kernel's: setting any of them clears the others
/// (mount_setattr(2), `MOUNT_ATTR__ATIME`).
fn set_recursive(attributes: &mut RecursiveAttributes, flag: u64) {
    if flag == MOUNT_ATTR_RELATIME || flag & MOUNT_ATTR__ATIME != 0 {
        attributes.set &= !MOUNT_ATTR__ATIME;
        attributes.clear |= MOUNT_ATTR__ATIME;
    } else {
        attributes.clear &= !flag;
    }
    attributes.set |= flag;
}

fn clear_recursive(attributes: &mut RecursiveAttributes, flag: u64) {
    attributes.set &= !flag;
    if flag == MOUNT_ATTR_RELATIME || flag & MOUNT_ATTR__ATIME != 0 {
        // Without the one named, the kernel's default holds: relatime, whose value is 0.
        attributes.set &= !MOUNT_ATTR__ATIME;
        attributes.clear |= MOUNT_ATTR__ATIME;
    } else {
        attributes.clear |= flag;
    }
}
