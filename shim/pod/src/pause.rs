//! The pod's own container: a sleeper that holds the pod's namespaces and, where they are shared, reaps.
//!
//! No file of the pause image is run or mounted. The sleeper is a fork of this process that gives everything away:
//! an empty read-only root, the ids of the spec, no capabilities, no descriptors. With a shared process namespace
//! other containers see it as PID 1, and `/proc/1/root` must lead nowhere.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use slipway_shim_wire::{NamespaceKind, Plan};

use crate::spawn;

/// What the sleeper writes to its pipe when it stands; anything else is the sentence that says why it does not.
pub const READY: &[u8] = b"\0";

/// Runs in the child of a fork: becomes the sleeper of `plan`, says so on `report`, and sleeps.
pub fn run(plan: &Plan, report: OwnedFd) -> Infallible {
    spawn::close_all_but(report.as_raw_fd());
    let mut report = File::from(report);
    let result = enter(plan);
    let told = match &result {
        Ok(()) => report.write_all(READY),
        Err(error) => report.write_all(error.to_string().as_bytes()),
    };
    drop(report);
    match (result, told) {
        (Ok(()), Ok(())) => sleep(),
        _ => exit(1),
    }
}

fn enter(plan: &Plan) -> io::Result<()> {
    if let Some(score) = plan.process.oom_score_adj {
        let path = "/proc/self/oom_score_adj";
        std::fs::write(path, score.to_string())
            .map_err(context(|| format!("process.oomScoreAdj {score}: {path}")))?;
    }
    enter_namespaces(plan)?;
    set_names(plan)?;
    for (name, value) in &plan.sysctls {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        std::fs::write(&path, value)
            .map_err(context(|| format!("linux.sysctl {name}={value}: {path}")))?;
    }
    let profile = open_profile(plan)?;
    empty_root().map_err(context(|| "empty root".to_owned()))?;
    if let Some((mut attribute, name)) = profile {
        // At once, since there will be no exec; behind no_new_privs it would be refused (aa_change_profile(2)).
        attribute
            .write_all(format!("changeprofile {name}").as_bytes())
            .map_err(context(|| format!("process.apparmorProfile {name}")))?;
    }
    drop_privileges(plan)?;
    filter(plan).map_err(context(|| "linux.seccomp".to_owned()))
}

fn enter_namespaces(plan: &Plan) -> io::Result<()> {
    let mut new = 0;
    let mut joined = Vec::new();
    for namespace in &plan.namespaces {
        let flag = match namespace.kind {
            NamespaceKind::Ipc => libc::CLONE_NEWIPC,
            NamespaceKind::Uts => libc::CLONE_NEWUTS,
            NamespaceKind::Net => libc::CLONE_NEWNET,
            NamespaceKind::Mount => libc::CLONE_NEWNS,
            // Nobody joins the sandbox's, and the sleeper looks at no cgroup.
            NamespaceKind::Cgroup => continue,
        };
        match &namespace.path {
            None => new |= flag,
            Some(path) => {
                let file = File::open(path).map_err(context(|| path.display().to_string()))?;
                joined.push((file, flag, path));
            }
        }
    }
    for (file, flag, path) in joined {
        // SAFETY: plain system call on an open descriptor.
        checked(unsafe { libc::setns(file.as_raw_fd(), flag) })
            .map_err(context(|| format!("joining {}", path.display())))?;
    }
    // SAFETY: plain system call.
    checked(unsafe { libc::unshare(new) }).map_err(context(|| "new namespaces".to_owned()))
}

/// Where to ask for the pod's AppArmor profile, opened while there is a `/proc`.
fn open_profile(plan: &Plan) -> io::Result<Option<(File, &str)>> {
    let Some(name) = plan.process.apparmor_profile.as_deref() else {
        return Ok(None);
    };
    let open = |path| File::options().write(true).open(path);
    // The second is the name up to Linux 5.7, and means AppArmor only where that is the one security module.
    let file = open("/proc/self/attr/apparmor/current")
        .or_else(|_| open("/proc/self/attr/current"))
        .map_err(context(|| {
            format!("process.apparmorProfile {name}: is AppArmor enabled on this node?")
        }))?;
    Ok(Some((file, name)))
}

fn set_names(plan: &Plan) -> io::Result<()> {
    if let Some(name) = &plan.hostname {
        // SAFETY: pointer and length are those of the string.
        checked(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })
            .map_err(context(|| format!("hostname {name}")))?;
    }
    if let Some(name) = &plan.domainname {
        // SAFETY: pointer and length are those of the string.
        checked(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) })
            .map_err(context(|| format!("domainname {name}")))?;
    }
    Ok(())
}

/// Leaves the node's file systems: an empty tmpfs becomes the root, and with the last mount of the old one this
/// namespace keeps no file system of the node busy.
fn empty_root() -> io::Result<()> {
    use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Any directory will do to mount on, and this one is on every node.
    rustix::mount::mount("pause", "/proc", "tmpfs", flags, c"size=4k,mode=0555")?;
    rustix::process::chdir("/proc")?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}

fn drop_privileges(plan: &Plan) -> io::Result<()> {
    let process = &plan.process;
    for capability in 0..64 {
        // SAFETY: plain system call. EINVAL: the kernel knows no more of them.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            break;
        }
    }
    // SAFETY: pointer and length are those of the list; the others are plain system calls.
    unsafe {
        checked(libc::setgroups(
            process.additional_gids.len(),
            process.additional_gids.as_ptr(),
        ))
        .map_err(context(|| "process.user.additionalGids".to_owned()))?;
        checked(libc::setresgid(process.gid, process.gid, process.gid))
            .map_err(context(|| format!("process.user.gid {}", process.gid)))?;
        checked(libc::setresuid(process.uid, process.uid, process.uid))
            .map_err(context(|| format!("process.user.uid {}", process.uid)))?;
    }
    clear_capabilities().map_err(context(|| "dropping capabilities".to_owned()))?;
    // SAFETY: plain system calls; the name is a C string.
    unsafe {
        checked(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        checked(libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0))?;
        checked(libc::prctl(
            libc::PR_SET_NAME,
            c"slipway-pause".as_ptr(),
            0,
            0,
            0,
        ))
    }
}

/// capset(2), which no C library wraps.
fn clear_capabilities() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    // _LINUX_CAPABILITY_VERSION_3 of linux/capability.h: 64 bits in two triples of effective, permitted, inheritable.
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    let none = [0u32; 6];
    // SAFETY: both are laid out as the kernel's structures of this version and outlive the call.
    checked_long(unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) })
}

/// Installs the pod's seccomp profile.
fn filter(plan: &Plan) -> io::Result<()> {
    if plan.seccomp.is_empty() {
        return Ok(());
    }
    let mut program: Vec<libc::sock_filter> = plan
        .seccomp
        .iter()
        .map(|instruction| libc::sock_filter {
            code: instruction.code,
            jt: instruction.jt,
            jf: instruction.jf,
            k: instruction.k,
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the program and what it points to outlive the call.
    checked_long(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            plan.seccomp_flags,
            &raw const program,
        )
    })
}

/// Waits for the end. All signals are blocked since before the fork, so none is lost or ignored, not even for a
/// PID 1, which has no default actions (pid_namespaces(7)).
fn sleep() -> ! {
    loop {
        let mut signal = 0;
        // SAFETY: the set is initialised by sigfillset; `signal` is a valid place to write to.
        let result = unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::sigwait(&raw const all, &raw mut signal)
        };
        match signal {
            _ if result != 0 => {}
            // As the pause image's program does.
            libc::SIGTERM | libc::SIGINT => exit(0),
            libc::SIGCHLD => while crate::signals::reap().is_some() {},
            _ => {}
        }
    }
}

fn exit(status: i32) -> ! {
    // SAFETY: ends this process without running what its parent registered for its own end.
    unsafe { libc::_exit(status) }
}

fn checked(result: libc::c_int) -> io::Result<()> {
    checked_long(result.into())
}

fn checked_long(result: libc::c_long) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Says what was being done.
fn context(what: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", what()))
}
