//! Which cgroup hierarchies the host has, and where they are mounted.
//!
//! The answer follows runc (opencontainers/cgroups v1_utils.go and utils.go@v0.0.6): `/sys/fs/cgroup` being cgroup2
//! means v2; otherwise each v1 hierarchy is looked for below it by name, and in the mount table only if it is not
//! there (reading the mount table of a node with many pods takes milliseconds). A path is then always taken below the
//! mount point, whatever the root of the mount: inside a container with a cgroup namespace of its own, such as a kind
//! node, that is where kubelet made the parents.

use std::path::{Path, PathBuf};

use rustix::fs::statfs;
use thiserror::Error;

use crate::file::{self, FileError};

const ROOT: &str = "/sys/fs/cgroup";
/// Where systemd mounts the v2 hierarchy on a v1 host ("hybrid"); it has no controllers.
const HYBRID: &str = "/sys/fs/cgroup/unified";
/// linux/magic.h
const CGROUP_MAGIC: u64 = 0x0027_e0eb;
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// The host's cgroups could not be found.
#[derive(Debug, Error)]
pub enum HierarchyError {
    /// One of the files that tell was not readable.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nothing is mounted.
    #[error("no cgroup hierarchy is mounted below {ROOT}")]
    None,
}

/// The version of the interface, and so of the file names and of the statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy a controller, with or without a v2 hierarchy beside them.
    V1,
    /// One hierarchy for all.
    V2,
}

/// The hierarchies of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    pub(crate) version: Version,
    pub(crate) mounts: Vec<Mount>,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// v1: such as `cpu` and `cpuacct`, or `name=systemd`. v2, also beside v1: none.
    pub(crate) controllers: Vec<String>,
    pub(crate) point: PathBuf,
}

impl Hierarchies {
    /// Looks at this process's own host.
    pub fn detect() -> Result<Self, HierarchyError> {
        if magic(Path::new(ROOT)) == Some(CGROUP2_MAGIC) {
            return Ok(Self::v2(PathBuf::from(ROOT)));
        }
        let own = file::read(Path::new("/proc/self/cgroup"))?;
        let mut mount_table = None;
        let mut mounts = Vec::new();
        for Own { controllers, .. } in parse_own(&own) {
            let point = if controllers.is_empty() {
                (magic(Path::new(HYBRID)) == Some(CGROUP2_MAGIC)).then(|| PathBuf::from(HYBRID))
            } else if let Some(point) = usual_point(&controllers) {
                Some(point)
            } else {
                let table = match &mount_table {
                    Some(table) => table,
                    None => mount_table.insert(file::read(Path::new("/proc/self/mountinfo"))?),
                };
                find_in_mountinfo(table, &controllers)
            };
            mounts.extend(point.map(|point| Mount { controllers, point }));
        }
        if mounts.is_empty() {
            return Err(HierarchyError::None);
        }
        Ok(Self {
            version: Version::V1,
            mounts,
        })
    }

    pub(crate) fn v2(point: PathBuf) -> Self {
        Self {
            version: Version::V2,
            mounts: vec![Mount {
                controllers: Vec::new(),
                point,
            }],
        }
    }
}

fn magic(path: &Path) -> Option<u64> {
    statfs(path).ok().map(|stat| stat.f_type as u64)
}

/// `/sys/fs/cgroup/<controller>`, through the link that names one of several controllers mounted together.
fn usual_point(controllers: &[String]) -> Option<PathBuf> {
    controllers.iter().find_map(|name| {
        let name = name.strip_prefix("name=").unwrap_or(name);
        let point = Path::new(ROOT).join(name).canonicalize().ok()?;
        (point.parent() == Some(Path::new(ROOT)) && magic(&point) == Some(CGROUP_MAGIC))
            .then_some(point)
    })
}

/// Where this process is in one hierarchy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Own {
    /// As in [`Mount`].
    pub(crate) controllers: Vec<String>,
    /// Below the root of its cgroup namespace: absolute, and with `..` in front where it is outside of that.
    pub(crate) path: String,
}

/// Each hierarchy, from the text of `/proc/self/cgroup` (cgroups(7)): `4:cpu,cpuacct:/path`.
pub(crate) fn parse_own(text: &str) -> Vec<Own> {
    let own = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_id, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let names = names
            .split(',')
            .filter(|name| !name.is_empty() && is_controller(name));
        Some(Own {
            controllers: names.map(str::to_owned).collect(),
            path: path.to_owned(),
        })
    };
    text.lines().filter_map(own).collect()
}

fn is_controller(name: &str) -> bool {
    !name.contains("..")
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"=_.-".contains(&b))
}

/// The first mount of type `cgroup` with one of the controllers among its options (proc_pid_mountinfo(5)).
fn find_in_mountinfo(text: &str, controllers: &[String]) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?;
        let mut after = after.split(' ');
        let (kind, _source, options) = (after.next()?, after.next()?, after.next()?);
        let ours = options
            .split(',')
            .any(|option| controllers.iter().any(|name| name == option));
        (kind == "cgroup" && ours).then(|| PathBuf::from(unescape(point)))
    })
}

/// Spaces and the like are written as `\040` in the mount table.
fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            Some(byte) if byte.is_ascii() => {
                text.push(char::from(byte));
                text.push_str(&part[3..]);
            }
            _ => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "5:memory:/kubelet\n4:cpu,cpuacct:/\n3:name=systemd:/init.scope\n0::/init.scope\nnonsense\n";
    const TABLE: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 /docker/1 /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /run/my\\040cgroups/memory rw - cgroup cgroup rw,memory
34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,name=systemd
35 31 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn own_cgroups_give_the_hierarchies() {
        let own = |controllers: &[&str], path: &str| Own {
            controllers: names(controllers),
            path: path.into(),
        };
        assert_eq!(
            parse_own(OWN),
            [
                own(&["memory"], "/kubelet"),
                own(&["cpu", "cpuacct"], "/"),
                own(&["name=systemd"], "/init.scope"),
                own(&[], "/init.scope"),
            ]
        );
    }

    #[test]
    fn the_mount_table_is_searched_by_option() {
        let find = |controller: &str| find_in_mountinfo(TABLE, &names(&[controller]));
        assert_eq!(
            find("cpuacct"),
            Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct"))
        );
        assert_eq!(
            find("memory"),
            Some(PathBuf::from("/run/my cgroups/memory"))
        );
        assert_eq!(
            find("name=systemd"),
            Some(PathBuf::from("/sys/fs/cgroup/systemd"))
        );
        assert_eq!(find("pids"), None);
        assert_eq!(
            find("rw"),
            Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct")),
            "options are not told apart"
        );
    }

    #[test]
    fn a_controller_name_is_not_a_path() {
        assert!(parse_own("3:../../etc:/\n")[0].controllers.is_empty());
        let own = &parse_own("1:a:/b:c\n")[0];
        assert_eq!((&own.controllers, &*own.path), (&names(&["a"]), "/b:c"));
    }
}
