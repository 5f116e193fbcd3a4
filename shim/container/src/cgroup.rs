//! The container's view of its cgroup.
//!
//! On cgroup v2 a mount of the unified hierarchy, rooted in the container by its cgroup namespace. On v1 a
//! tmpfs holding a bind of the container's own directory in each hierarchy, as runc makes it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use libc::MS_RDONLY;
use rustix::fs::{Mode, mkdirat, symlinkat};
use rustix::io::Errno;
use slipway_shim_wire::Mount;

use crate::SetupError;
use crate::error::While;
use crate::mount_api::{Attributes, attach, change, copy, create};
use crate::root::{Missing, Root};

/// `CGROUP2_SUPER_MAGIC` (linux/magic.h).
const CGROUP2_MAGIC: i64 = 0x6367_7270;

const HIERARCHIES: &str = "/sys/fs/cgroup";

/// Makes the mount and gives its descriptor.
pub(crate) fn make(root: &Root, mount: &Mount) -> Result<OwnedFd, SetupError> {
    let action = || format!("mount the cgroup on {}", mount.target.display());
    if mount.fstype == "cgroup2" || is_unified().when(action)? {
        return unified(root, mount).when(action);
    }
    let read = |path: &str| std::fs::read_to_string(path).when(|| format!("read {path}"));
    let hierarchies = hierarchies(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
    legacy(root, mount, &hierarchies).when(action)
}

fn is_unified() -> Result<bool, Errno> {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the type differs between C libraries"
    )]
    let magic = rustix::fs::statfs(HIERARCHIES)?.f_type as i64;
    Ok(magic == CGROUP2_MAGIC)
}

fn unified(root: &Root, mount: &Mount) -> Result<OwnedFd, Errno> {
    let made = match create("cgroup2", "cgroup", mount.flags & !MS_RDONLY, "") {
        // Not allowed in every nested environment; the node's mount shows the same files.
        Err(Errno::PERM | Errno::BUSY) => copy(Path::new(HIERARCHIES), false)?,
        made => made?,
    };
    let place = root.find_or_make(&mount.target, Missing::Directory)?;
    attach(&made, place)?;
    Ok(made)
}

/// A v1 hierarchy: its name below `/sys/fs/cgroup` and the container's own directory in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    name: String,
    own: PathBuf,
}

fn legacy(root: &Root, mount: &Mount, hierarchies: &[Hierarchy]) -> Result<OwnedFd, Errno> {
    let flags = mount.flags & !MS_RDONLY;
    let folder = create("tmpfs", "tmpfs", flags, "mode=755")?;
    let place = root.find_or_make(&mount.target, Missing::Directory)?;
    attach(&folder, place)?;
    for hierarchy in hierarchies {
        let own = match copy(&hierarchy.own, true) {
            // Not in a cgroup of this hierarchy that this mount shows.
            Err(Errno::NOENT) => continue,
            own => own?,
        };
        mkdirat(&folder, &hierarchy.name, Mode::from_raw_mode(0o755))?;
        let place = rustix::fs::openat(
            &folder,
            &hierarchy.name,
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        attach(&own, place)?;
        change(own.as_fd(), Attributes::from_flags(mount.flags, 0))?;
        if hierarchy.name.contains(',') {
            for controller in hierarchy.name.split(',') {
                match symlinkat(&hierarchy.name, &folder, controller) {
                    Err(Errno::EXIST) | Ok(()) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(folder)
}

/// From `/proc/self/mountinfo` and `/proc/self/cgroup`: every v1 hierarchy mounted in `/sys/fs/cgroup`.
fn hierarchies(mountinfo: &str, cgroup: &str) -> Vec<Hierarchy> {
    mountinfo
        .lines()
        .filter_map(|line| hierarchy(line, cgroup))
        .collect()
}

/// proc_pid_mountinfo(5): `id parent major:minor root mountpoint options [optional...] - type source super`.
fn hierarchy(line: &str, cgroup: &str) -> Option<Hierarchy> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, point) = (Path::new(mount.next()?), Path::new(mount.next()?));
    let mut file_system = file_system.split(' ');
    if file_system.next()? != "cgroup" || point.parent()? != Path::new(HIERARCHIES) {
        return None;
    }
    let options: Vec<&str> = file_system.nth(1)?.split(',').collect();
    // `number:controllers:path`, where controllers may be `name=systemd` (proc_pid_cgroup(5)).
    let path = cgroup.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let first = controllers
            .split(',')
            .next()
            .filter(|name| !name.is_empty())?;
        options.contains(&first).then_some(path)
    })?;
    let own = Path::new(path).strip_prefix(root).ok()?;
    Some(Hierarchy {
        name: point.file_name()?.to_str()?.to_owned(),
        own: point.join(own),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_directories_are_found_below_the_mounted_roots() {
        let mountinfo = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 /docker/a /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup systemd rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:39 /elsewhere /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
43 31 0:29 / /other/cpu rw,relatime - cgroup cgroup rw,cpu";
        let cgroup = "\
5:pids:/docker/a/kubepods
4:cpu,cpuacct:/docker/a/kubepods/pod1/c1
1:name=systemd:/kubepods/pod1/c1
0::/";
        assert_eq!(
            hierarchies(mountinfo, cgroup),
            [
                Hierarchy {
                    name: "cpu,cpuacct".into(),
                    own: "/sys/fs/cgroup/cpu,cpuacct/kubepods/pod1/c1".into(),
                },
                Hierarchy {
                    name: "systemd".into(),
                    own: "/sys/fs/cgroup/systemd/kubepods/pod1/c1".into(),
                },
            ]
        );
    }
}
