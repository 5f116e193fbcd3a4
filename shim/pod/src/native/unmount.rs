//! Unmounting a native container's root file system.

use std::io;
use std::path::Path;

use rustix::mount::UnmountFlags;
use slipway_shim_spec::PidNamespace;

use crate::spawn::{self, Birth, Pid};

/// Unmounts all that is mounted at `rootfs`. The last unmount of an overlay may write back what the container wrote,
/// so it is not for the loop.
pub fn unmount(rootfs: &Path) {
    while rustix::mount::unmount(rootfs, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
}

/// Unmounts in a child process.
///
/// # Errors
/// When there is no process to be had.
pub fn start(rootfs: &Path) -> io::Result<Pid> {
    let birth = Birth {
        pid_namespace: &PidNamespace::Host,
        cgroup: None,
    };
    spawn::fork(birth, || {
        unmount(rootfs);
        // SAFETY: ends this process without running what its parent registered for its own end.
        unsafe { libc::_exit(0) }
    })
}
