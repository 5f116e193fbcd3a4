//! Namespaces, the names kept in them, and their sysctls.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fstatfs};
use rustix::system::{setdomainname, sethostname};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use slipway_shim_wire::{NamespaceKind, Plan};

use crate::SetupError;
use crate::error::While;
use crate::user::Users;

/// `PROC_SUPER_MAGIC` (linux/magic.h).
const PROC_MAGIC: i64 = 0x9fa0;

/// Joins and makes the plan's namespaces but the cgroup's, then sets what is theirs: host name, domain name, sysctls. Those
/// it makes belong to the user namespace, if one is given.
pub(crate) fn enter(plan: &Plan, users: Option<&Users>) -> Result<(), SetupError> {
    let mut joined: Vec<(OwnedFd, NamespaceKind, &Path)> = Vec::new();
    let mut made = UnshareFlags::empty();
    let mut new_network = false;
    for namespace in &plan.namespaces {
        match &namespace.path {
            Some(path) => {
                let descriptor =
                    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                        .when(|| format!("open the namespace {}", path.display()))?;
                joined.push((descriptor, namespace.kind, path));
            }
            // Its root is where the process is counted.
            None if namespace.kind == NamespaceKind::Cgroup => {}
            None => {
                made |= unshare_flag(namespace.kind);
                new_network |= namespace.kind == NamespaceKind::Net;
            }
        }
    }
    for (descriptor, kind, path) in &joined {
        move_into_link_name_space(descriptor.as_fd(), Some(link_type(*kind)))
            .when(|| format!("join the namespace {}", path.display()))?;
    }
    // Joined before, made after: the node's root may join whatever owns a namespace, the pod's only its own.
    if let Some(users) = users {
        users.enter_as_root()?;
    }
    // SAFETY: unsharing files or signal handlers would be unsound beside other threads; these flags are
    // namespaces only.
    unsafe { rustix::thread::unshare_unsafe(made) }.when(|| "make namespaces".to_owned())?;
    if new_network {
        loopback_up().when(|| "bring the loopback interface up".to_owned())?;
    }
    if let Some(name) = &plan.hostname {
        sethostname(name.as_bytes()).when(|| format!("set the host name to {name:?}"))?;
    }
    if let Some(name) = &plan.domainname {
        setdomainname(name.as_bytes()).when(|| format!("set the domain name to {name:?}"))?;
    }
    for (name, value) in &plan.sysctls {
        set_sysctl(name, value).when(|| format!("set the sysctl {name} to {value:?}"))?;
    }
    Ok(())
}

/// Makes the cgroup namespace, if the plan has one of its own, whose root is the cgroup that this process is in.
pub(crate) fn enter_cgroup(plan: &Plan) -> Result<(), SetupError> {
    let mut namespaces = plan.namespaces.iter();
    if !namespaces.any(|it| it.kind == NamespaceKind::Cgroup && it.path.is_none()) {
        return Ok(());
    }
    // SAFETY: as in `enter`.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }
        .when(|| "make the cgroup namespace".to_owned())
}

fn unshare_flag(kind: NamespaceKind) -> UnshareFlags {
    match kind {
        NamespaceKind::Ipc => UnshareFlags::NEWIPC,
        NamespaceKind::Uts => UnshareFlags::NEWUTS,
        NamespaceKind::Net => UnshareFlags::NEWNET,
        NamespaceKind::Mount => UnshareFlags::NEWNS,
        NamespaceKind::Cgroup => UnshareFlags::NEWCGROUP,
    }
}

fn link_type(kind: NamespaceKind) -> LinkNameSpaceType {
    match kind {
        NamespaceKind::Ipc => LinkNameSpaceType::InterProcessCommunication,
        NamespaceKind::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        NamespaceKind::Net => LinkNameSpaceType::Network,
        NamespaceKind::Mount => LinkNameSpaceType::Mount,
        NamespaceKind::Cgroup => LinkNameSpaceType::ControlGroup,
    }
}

/// As runc does for a network namespace that nobody else configures.
fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(*b"lo") {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the descriptor is open and SIOCSIFFLAGS reads one ifreq.
    let result = unsafe {
        libc::ioctl(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Writes a setting under the node's `/proc/sys`, which shows the namespaces of whoever opens it.
fn set_sysctl(name: &str, value: &str) -> io::Result<()> {
    let mut file = open_proc(&Path::new("/proc/sys").join(sysctl_path(name)))?;
    file.write_all(value.as_bytes())
}

/// Opens a file for writing and makes sure that it is one of procfs, not something mounted over it
/// (CVE-2025-52881 was runc trusting that).
pub(crate) fn open_proc(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).open(path)?;
    #[allow(
        clippy::unnecessary_cast,
        reason = "the type differs between C libraries"
    )]
    if fstatfs(&file)?.f_type as i64 != PROC_MAGIC {
        return Err(io::Error::other(format!(
            "{} is not a file of procfs",
            path.display()
        )));
    }
    Ok(file)
}

/// sysctl(8): whichever separator comes first separates, and the other stands for a plain character, so
/// that `net/ipv4/conf/eth0.1/forwarding` and `net.ipv4.conf.eth0/1.forwarding` name the same.
fn sysctl_path(name: &str) -> PathBuf {
    let dotted = name
        .find(['.', '/'])
        .is_some_and(|at| name.as_bytes()[at] == b'.');
    if !dotted {
        return PathBuf::from(name);
    }
    let swapped: String = name
        .chars()
        .map(|character| match character {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect();
    PathBuf::from(swapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_sysctl_name_the_same_file() {
        let expected = Path::new("net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(sysctl_path("net/ipv4/conf/eth0.1/forwarding"), expected);
        assert_eq!(sysctl_path("net.ipv4.conf.eth0/1.forwarding"), expected);
    }

    #[test]
    fn only_procfs_is_written_to() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = open_proc(file.path()).unwrap_err();
        assert!(
            error.to_string().ends_with("is not a file of procfs"),
            "{error}"
        );
    }
}
