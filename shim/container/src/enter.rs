//! The order in which a process becomes a container.

use std::io::Write;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::umask;
use slipway_shim_wire::Plan;

use crate::SetupError;
use crate::error::While;
use crate::mount_api::{self, Attributes};
use crate::namespaces::open_proc;
use crate::privileges::set_limits;
use crate::root::{Missing, Root};
use crate::user::Users;
use crate::{apparmor, devices, mask, mounts, namespaces, pivot, rootfs};

/// Enters the container: namespaces, mounts, root directory. The process has to have one thread, be root, and
/// stand in its PID namespace already. The working directory is `/` afterwards and the umask 0;
/// [`drop_privileges`](crate::drop_privileges) sets both.
///
/// `placed` returns when the process is in its cgroup, which systemd takes milliseconds for: until then what does not
/// depend on it is made. On its place depend the cgroup's namespace and mounts, and whether devices may be made.
///
/// # Errors
/// [`SetupError`] saying what was being done to what, or the error of `placed`. The process is of no use then and should
/// end.
pub fn enter<E: From<SetupError>>(
    plan: &Plan,
    placed: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let begun = begin(plan)?;
    placed()?;
    begun.finish(plan)?;
    Ok(())
}

/// A container that is made as far as it can be outside of its cgroup.
struct Begun<'a> {
    profile: Option<apparmor::Change<'a>>,
    users: Option<Users>,
    root: Root,
    deferred: mounts::Deferred,
}

fn begin(plan: &Plan) -> Result<Begun<'_>, SetupError> {
    umask(Mode::empty());
    set_oom_score_adj(plan)?;
    let profile = apparmor::wanted(plan)?;
    let users = plan.user_namespace.as_ref().map(Users::open).transpose()?;
    namespaces::enter(plan, None)?;
    let root = rootfs::mount(&plan.rootfs, users.as_ref())?;
    let (before, _) = mounts::by_cgroup(&plan.mounts);
    let deferred = mounts::make(&root, before, users.as_ref())?;
    Ok(Begun {
        profile,
        users,
        root,
        deferred,
    })
}

impl Begun<'_> {
    fn finish(self, plan: &Plan) -> Result<(), SetupError> {
        let Self {
            profile,
            users,
            root,
            mut deferred,
        } = self;
        namespaces::enter_cgroup(plan)?;
        let (_, after) = mounts::by_cgroup(&plan.mounts);
        deferred.append(mounts::make(&root, after, users.as_ref())?);
        if devices::wanted(&plan.mounts) {
            devices::make(&root, &plan.devices, users.as_ref())?;
        }
        make_cwd(&root, &plan.process.cwd)?;
        mask::make_read_only(&root, &plan.readonly_paths)?;
        mask::mask(&root, &plan.masked_paths)?;
        deferred.finish()?;
        if plan.rootfs.readonly {
            mount_api::change(std::os::fd::AsFd::as_fd(&root), Attributes::READ_ONLY)
                .when(|| "make the root file system read-only".to_owned())?;
        }
        pivot::into(&root)?;
        if plan.rootfs.propagation != 0 {
            mount_api::propagate_path(Path::new("/"), plan.rootfs.propagation)
                .when(|| "change the propagation of the container's /".to_owned())?;
        }
        if let Some(profile) = profile {
            profile.apply()?;
        }
        if let Some(users) = users {
            // Raising one takes a capability of the node's.
            set_limits(&plan.process)?;
            users.enter()?;
        }
        Ok(())
    }
}

/// Before the pivot, through the node's own `/proc`. Lowering it takes CAP_SYS_RESOURCE, which nested nodes
/// lack; containerd's `restrict_oom_score_adj` is for them.
pub(crate) fn set_oom_score_adj(plan: &Plan) -> Result<(), SetupError> {
    let Some(score) = plan.process.oom_score_adj else {
        return Ok(());
    };
    open_proc(Path::new("/proc/self/oom_score_adj"))
        .and_then(|mut file| file.write_all(score.to_string().as_bytes()))
        .when(|| format!("set oom_score_adj to {score}"))
}

/// As runc: a working directory that the image does not have is made (root's, 0755).
fn make_cwd(root: &Root, cwd: &Path) -> Result<(), SetupError> {
    root.find_or_make(cwd, Missing::Directory)
        .map(drop)
        .when(|| format!("make the working directory {}", cwd.display()))
}
