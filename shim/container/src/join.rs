//! Another process of a container that stands.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, chdir, set_dumpable_behavior, umask};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use slipway_shim_wire::Plan;

use crate::enter::set_oom_score_adj;
use crate::error::While;
use crate::privileges::set_limits;
use crate::{SetupError, apparmor};

/// All but the PID namespace, which the spawn sees to. The user namespace last: the node's root may join whatever
/// owns the others, the pod's root only what is its own, which a worker's mount namespace is not.
const NAMESPACES: [(&str, LinkNameSpaceType); 6] = [
    ("ipc", LinkNameSpaceType::InterProcessCommunication),
    ("uts", LinkNameSpaceType::HostNameAndNISDomainName),
    ("net", LinkNameSpaceType::Network),
    ("cgroup", LinkNameSpaceType::ControlGroup),
    ("mnt", LinkNameSpaceType::Mount),
    ("user", LinkNameSpaceType::User),
];

/// Joins the container of the process whose directory in `/proc` is `container`: its namespaces, and with its mount
/// namespace its root directory. Of `plan` only `process` counts. The process has to have one thread, be root, and stand
/// in the container's PID namespace and cgroup already. The working directory is `/` afterwards and the umask 0;
/// [`drop_privileges`](crate::drop_privileges) sets both.
///
/// # Errors
/// [`SetupError`] saying what was being done. The process is of no use then and should end.
pub fn join(plan: &Plan, container: BorrowedFd<'_>) -> Result<(), SetupError> {
    // Before the container can see this process: it is still root, and of the node.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .when(|| "forbid core dumps and tracing".to_owned())?;
    umask(Mode::empty());
    set_oom_score_adj(plan)?;
    let profile = apparmor::wanted(plan)?;
    let mut joined = Vec::with_capacity(NAMESPACES.len());
    for (name, kind) in NAMESPACES {
        let opened = open(container, name);
        if let Some(namespace) = opened.when(|| format!("open the container's {name} namespace"))? {
            joined.push((name, kind, namespace));
        }
    }
    for (name, kind, namespace) in joined {
        if kind == LinkNameSpaceType::User {
            // Raising one takes a capability of the node's.
            set_limits(&plan.process)?;
        }
        move_into_link_name_space(namespace.as_fd(), Some(kind))
            .when(|| format!("join the container's {name} namespace"))?;
    }
    chdir("/").when(|| "change to the container's root directory".to_owned())?;
    if let Some(profile) = profile {
        profile.apply()?;
    }
    Ok(())
}

/// A namespace of the container, unless it is this process's own, which need not or cannot be joined (setns(2), a user
/// namespace).
fn open(container: BorrowedFd<'_>, name: &str) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = match openat(CWD, format!("/proc/self/ns/{name}"), flags, Mode::empty()) {
        // A kernel without such namespaces.
        Err(Errno::NOENT) => return Ok(None),
        own => fstat(own?)?,
    };
    let theirs = openat(container, format!("ns/{name}"), flags, Mode::empty())?;
    let stat = fstat(&theirs)?;
    let same = (stat.st_dev, stat.st_ino) == (own.st_dev, own.st_ino);
    Ok((!same).then_some(theirs))
}
