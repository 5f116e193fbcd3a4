//! The node's processes, read from its own `/proc`.
//!
//! The host's procfs numbers processes as the host does, whatever the PID namespace of the reader, so that one code
//! path serves pods with and without `hostPID` and runs on the host itself.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::HostRoot;

/// Longest file of `/proc/<pid>` that is read; a command line can be as long as `ARG_MAX`.
const MAX_PROC_BYTES: u64 = 2 * 1024 * 1024;

/// The numbers of all processes.
pub fn all(root: &HostRoot) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(root.local(Path::new("/proc"))) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// A file of `/proc/<pid>`, as text; invalid UTF-8 is replaced.
fn text(root: &HostRoot, pid: u32, name: &str) -> Option<String> {
    let file = fs::File::open(root.local(&PathBuf::from(format!("/proc/{pid}/{name}")))).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_PROC_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The command line.
pub fn arguments(root: &HostRoot, pid: u32) -> Vec<String> {
    text(root, pid, "cmdline")
        .map(|line| line.split('\0').map(str::to_owned).collect::<Vec<_>>())
        .map(|mut words| {
            while words.last().is_some_and(String::is_empty) {
                words.pop();
            }
            words
        })
        .unwrap_or_default()
}

/// The variables it was started with, each `NAME=value`.
pub fn environment(root: &HostRoot, pid: u32) -> Vec<String> {
    let variables = text(root, pid, "environ").unwrap_or_default();
    variables.split('\0').map(str::to_owned).collect()
}

/// The short name.
pub fn name(root: &HostRoot, pid: u32) -> Option<String> {
    Some(text(root, pid, "comm")?.trim_end().to_owned())
}

/// The executable as a host path, and whether that file still exists.
pub fn executable(root: &HostRoot, pid: u32) -> Option<(PathBuf, bool)> {
    let target = fs::read_link(root.local(&PathBuf::from(format!("/proc/{pid}/exe")))).ok()?;
    match target
        .to_str()
        .and_then(|path| path.strip_suffix(" (deleted)"))
    {
        Some(path) => Some((PathBuf::from(path), false)),
        None => Some((target, true)),
    }
}

/// The folder a process is in, a host path.
pub fn current_folder(root: &HostRoot, pid: u32) -> Option<PathBuf> {
    fs::read_link(root.local(&PathBuf::from(format!("/proc/{pid}/cwd")))).ok()
}

/// Whether a process has a number of its own in a PID namespace below the host's (`NSpid` of proc_pid_status(5)).
pub fn is_in_inner_namespace(root: &HostRoot, pid: u32) -> bool {
    text(root, pid, "status")
        .and_then(|status| {
            let numbers = status
                .lines()
                .find_map(|line| line.strip_prefix("NSpid:"))?;
            Some(numbers.split_whitespace().count() > 1)
        })
        .unwrap_or(false)
}

/// Whether a process is root's by all four of its user IDs (`Uid` of proc_pid_status(5)). A set-uid program is not: its
/// name and its arguments are those of whoever started it.
pub fn is_roots(root: &HostRoot, pid: u32) -> bool {
    text(root, pid, "status")
        .and_then(|status| {
            let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
            let mut ids = ids.split_whitespace();
            Some(ids.clone().next().is_some() && ids.all(|id| id == "0"))
        })
        .unwrap_or(false)
}

/// The systemd service a process belongs to, by its cgroup.
pub fn unit(root: &HostRoot, pid: u32) -> Option<String> {
    unit_of_cgroup(&text(root, pid, "cgroup")?)
}

/// The innermost `*.service` of systemd's own hierarchy (`name=systemd` on cgroup v1, `0::` on v2). A reader in a
/// cgroup namespace sees the path relative to its own (`/../../system.slice/x.service`); the name is the same.
fn unit_of_cgroup(table: &str) -> Option<String> {
    let mut lines: Vec<&str> = table.lines().collect();
    // On hybrid hosts both are there, and name=systemd is the one systemd keeps filled.
    lines.sort_by_key(|line| !line.contains(":name=systemd:"));
    lines
        .into_iter()
        .filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            (controllers.is_empty() || controllers == "name=systemd").then_some(path)
        })
        .find_map(|path| path.rsplit('/').find(|part| part.ends_with(".service")))
        .map(str::to_owned)
}

/// This process's number on the host and its start time, which together name it for good.
pub fn own_identity(root: &HostRoot) -> Option<(u32, u64)> {
    let pid = fs::read_link(root.local(Path::new("/proc/self")))
        .ok()?
        .to_str()?
        .parse()
        .ok()?;
    Some((pid, start_time(root, pid)?))
}

/// When a process started, in clock ticks since boot (field 22 of `/proc/<pid>/stat`, proc_pid_stat(5)).
pub fn start_time(root: &HostRoot, pid: u32) -> Option<u64> {
    let stat = text(root, pid, "stat")?;
    // The name in parentheses may itself hold blanks and parentheses.
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

/// The kernel's identity of this boot.
pub fn boot_id(root: &HostRoot) -> Option<String> {
    let path = root.local(Path::new("/proc/sys/kernel/random/boot_id"));
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// Names one start of the node's init: a node that is a container (kind's) starts anew in the same boot of its kernel.
pub fn init_start(root: &HostRoot) -> Option<String> {
    Some(format!("{}/{}", boot_id(root)?, start_time(root, 1)?))
}

/// Which of root's processes serves a socket: the peer of a connection, or, when that is outside our PID namespace (the
/// kernel then says 0), the process that holds the listening socket's inode. What any other user serves is not asked.
pub fn owner_of_socket(root: &HostRoot, socket: &Path) -> Option<u32> {
    let local = root.locate(socket).ok()?;
    let stream = UnixStream::connect(local).ok()?;
    // Only in the host's own PID namespace does the peer's number mean anything; outside, the kernel says 0, which
    // must not even be read: rustix's `Pid` cannot hold it.
    if own_identity(root).is_some_and(|(own, _)| own == std::process::id())
        && let Ok(peer) = rustix::net::sockopt::socket_peercred(&stream)
    {
        let pid = u32::try_from(peer.pid.as_raw_nonzero().get()).ok()?;
        return is_roots(root, pid).then_some(pid);
    }
    let table = fs::read_to_string(root.local(Path::new("/proc/1/net/unix"))).ok()?;
    let inodes = listening_inodes(&table, &[socket, &root.resolve(socket).ok()?]);
    all(root)
        .into_iter()
        .find(|pid| holds_any(root, *pid, &inodes) && is_roots(root, *pid))
}

/// Inodes of the listening sockets bound to one of the paths, from `/proc/net/unix` (proc_net(5)): the flag
/// `00010000` is `__SO_ACCEPTCON`.
fn listening_inodes(table: &str, paths: &[&Path]) -> BTreeSet<String> {
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, _, _, flags, _, _, inode, path, ..] = fields[..] else {
                return None;
            };
            (flags == "00010000" && paths.contains(&Path::new(path)))
                .then(|| format!("socket:[{inode}]"))
        })
        .collect()
}

fn holds_any(root: &HostRoot, pid: u32, sockets: &BTreeSet<String>) -> bool {
    let Ok(entries) = fs::read_dir(root.local(&PathBuf::from(format!("/proc/{pid}/fd")))) else {
        return false;
    };
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| {
            target
                .to_str()
                .is_some_and(|target| sockets.contains(target))
        })
}

/// Files below `folder` that some process executes or maps. The kernel knows no links: they are named, and the folder is
/// taken, without.
pub fn mapped_below(root: &HostRoot, folder: &Path) -> BTreeSet<PathBuf> {
    let folder = &root.resolve(folder).unwrap_or_else(|_| folder.to_owned());
    let mut found = BTreeSet::new();
    for pid in all(root) {
        if let Some((path, _)) = executable(root, pid)
            && path.starts_with(folder)
        {
            found.insert(path);
        }
        let maps = text(root, pid, "maps").unwrap_or_default();
        found.extend(
            mapped_files(&maps)
                .filter(|path| path.starts_with(folder))
                .map(Path::to_owned),
        );
    }
    found
}

/// The files of a `/proc/<pid>/maps` (proc_pid_maps(5)): the sixth field, which may hold blanks.
fn mapped_files(maps: &str) -> impl Iterator<Item = &Path> {
    maps.lines().filter_map(|line| {
        let path = &line[line.find('/')?..];
        Some(Path::new(path.strip_suffix(" (deleted)").unwrap_or(path)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_found_on_both_cgroup_versions_and_through_a_namespace() {
        let v1 = "5:cpu,cpuacct:/system.slice\n1:name=systemd:/docker/abc/system.slice/containerd.service\n0::/\n";
        assert_eq!(unit_of_cgroup(v1).as_deref(), Some("containerd.service"));
        let v2 = "0::/../../../system.slice/k3s-agent.service\n";
        assert_eq!(unit_of_cgroup(v2).as_deref(), Some("k3s-agent.service"));
        assert_eq!(unit_of_cgroup("0::/user.slice/session-2.scope\n"), None);
    }

    #[test]
    fn only_the_listening_socket_of_the_path_counts() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000: 00000002 00000000 00010000 0001 01 4711 /run/containerd/containerd.sock\n\
            0000: 00000003 00000000 00000000 0001 03 4712 /run/containerd/containerd.sock\n\
            0000: 00000002 00000000 00010000 0001 01 4713 /run/other.sock\n\
            0000: 00000002 00000000 00010000 0001 01 4714\n";
        let inodes = listening_inodes(table, &[Path::new("/run/containerd/containerd.sock")]);
        assert_eq!(inodes.into_iter().collect::<Vec<_>>(), ["socket:[4711]"]);
    }

    #[test]
    fn mapped_files_keep_blanks_and_lose_the_mark_of_deleted_ones() {
        let maps = "00400000-0048a000 r-xp 00000000 fd:03 960637 /opt/slipway/a b (deleted)\n\
            7ffd0000-7ffd1000 rw-p 00000000 00:00 0 [stack]\n";
        assert_eq!(
            mapped_files(maps).collect::<Vec<_>>(),
            [Path::new("/opt/slipway/a b")]
        );
    }

    #[test]
    fn this_process_is_found_on_its_own_root() {
        let root = HostRoot::new(Path::new("/")).unwrap();
        let (pid, started) = own_identity(&root).unwrap();
        assert_eq!(
            (pid, start_time(&root, pid)),
            (std::process::id(), Some(started))
        );
        assert!(!arguments(&root, pid).is_empty());
        assert_eq!(is_roots(&root, pid), rustix::process::geteuid().is_root());
        let init = init_start(&root).unwrap();
        assert!(init.starts_with(&boot_id(&root).unwrap()), "{init}");
        assert!(executable(&root, pid).unwrap().1);
    }
}
