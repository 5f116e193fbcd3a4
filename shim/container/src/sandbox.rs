//! The pod's own container: namespaces and an empty root, nothing to run.

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{chdir, pivot_root};
use slipway_shim_wire::Plan;

use crate::SetupError;
use crate::error::While;
use crate::privileges::set_limits;
use crate::user::Users;
use crate::{apparmor, enter, namespaces};

/// Makes the calling process, which has to have one thread and be root, the holder of a pod's namespaces: names and
/// sysctls are set in them, and its root is empty and read-only. [`drop_privileges`](crate::drop_privileges) and
/// [`seal`](crate::seal) follow.
///
/// # Errors
/// [`SetupError`] saying what was being done to what.
pub fn enter_sandbox(plan: &Plan) -> Result<(), SetupError> {
    enter::set_oom_score_adj(plan)?;
    let profile = apparmor::wanted(plan)?;
    let users = plan.user_namespace.as_ref().map(Users::open).transpose()?;
    if users.is_some() {
        // Raising one takes a capability of the node's.
        set_limits(&plan.process)?;
    }
    namespaces::enter(plan, users.as_ref())?;
    namespaces::enter_cgroup(plan)?;
    empty_root().when(|| "make an empty root".to_owned())?;
    profile.map_or(Ok(()), apparmor::Change::apply)
}

/// Moves the calling process, which has to have one thread and be root, into a pod's namespaces, and sets names and
/// sysctls in them; it stays what it is otherwise. Not for pods with a user namespace.
///
/// # Errors
/// [`SetupError`] saying what was being done to what.
pub fn hold(plan: &Plan) -> Result<(), SetupError> {
    namespaces::enter(plan, None)?;
    namespaces::enter_cgroup(plan)
}

/// Leaves the node's file systems: an empty tmpfs becomes the root, and with the last mount of the old one this
/// namespace keeps no file system of the node busy.
fn empty_root() -> rustix::io::Result<()> {
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Any directory will do to mount on, and this one is on every node.
    mount("pause", "/proc", "tmpfs", flags, c"size=4k,mode=0555")?;
    chdir("/proc")?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")
}
