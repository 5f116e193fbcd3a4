//! Landlock (landlock(7)), where the kernel has it: what no guest ever does with a file is refused below `/`, whatever
//! the file's mode and whoever the process is. Reading, writing and making files stay as the mounts allow them, which
//! is the pod's own business.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

// linux/landlock.h; the libc crate has the numbers of the calls alone.
const EXECUTE: u64 = 1 << 0;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
/// Linking and renaming from one directory to another, which every ruleset refuses unless it says otherwise.
const REFER: u64 = 1 << 13;
/// Since ABI 5, Linux 6.10. For files opened from now on; the container's streams are open already.
const IOCTL_DEV: u64 = 1 << 15;
/// Since ABI 6, Linux 6.12: abstract sockets and processes outside are out of reach.
const SCOPES: u64 = 1 << 0 | 1 << 1;

/// Linux 5.19. The one before refuses all renaming between directories.
const OLDEST: libc::c_long = 2;

const VERSION: libc::c_ulong = 1;
const PATH_BENEATH: libc::c_int = 1;

#[repr(C)]
#[derive(Debug, Default)]
struct Ruleset {
    filesystem: u64,
    network: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: libc::c_int,
}

/// Restricts the calling thread and those it will start. Without Landlock nothing happens: it is the second wall
/// behind the mounts, the missing capabilities and the seccomp filter.
pub(crate) fn restrict() -> io::Result<()> {
    let Ok(version) = call(libc::SYS_landlock_create_ruleset, [0, 0, VERSION, 0]) else {
        return Ok(());
    };
    if version < OLDEST {
        return Ok(());
    }
    let ruleset = ruleset(version);
    // Kernels take a shorter structure of an older header, and refuse longer ones that are not zero behind theirs.
    let length = match version {
        ..4 => size_of::<u64>(),
        4..6 => 2 * size_of::<u64>(),
        _ => size_of::<Ruleset>(),
    };
    let created = call(
        libc::SYS_landlock_create_ruleset,
        [
            (&raw const ruleset).expose_provenance() as libc::c_ulong,
            length as libc::c_ulong,
            0,
            0,
        ],
    )?;
    let number = libc::c_int::try_from(created).map_err(io::Error::other)?;
    // SAFETY: the kernel has made this descriptor for us and nobody else knows it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let rule = PathBeneath {
        allowed: REFER,
        parent: root.as_raw_fd(),
    };
    let number = libc::c_ulong::from(descriptor.as_raw_fd().cast_unsigned());
    call(
        libc::SYS_landlock_add_rule,
        [
            number,
            libc::c_ulong::from(PATH_BENEATH.cast_unsigned()),
            (&raw const rule).expose_provenance() as libc::c_ulong,
            0,
        ],
    )?;
    call(libc::SYS_landlock_restrict_self, [number, 0, 0, 0]).map(drop)
}

fn ruleset(version: libc::c_long) -> Ruleset {
    let devices = if version >= 5 { IOCTL_DEV } else { 0 };
    Ruleset {
        filesystem: EXECUTE | MAKE_CHAR | MAKE_SOCK | MAKE_FIFO | MAKE_BLOCK | REFER | devices,
        network: 0,
        scoped: if version >= 6 { SCOPES } else { 0 },
    }
}

fn call(number: libc::c_long, [a, b, c, d]: [libc::c_ulong; 4]) -> io::Result<libc::c_long> {
    // SAFETY: the callers pass numbers, and addresses of structures that live until the call returns and are as long as
    // they say; the kernel writes to none of them.
    match unsafe { libc::syscall(number, a, b, c, d) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_kernel_is_asked_for_what_it_knows() {
        assert_eq!(ruleset(2).filesystem & IOCTL_DEV, 0);
        assert_eq!((ruleset(4).scoped, ruleset(6).scoped), (0, 3));
        assert_eq!(size_of::<PathBeneath>(), 12);
    }
}
