//! What a worker has to become: the parts of an OCI runtime spec it acts on, already validated.
//!
//! Field meanings are those of the OCI runtime specification 1.2, `config.md` and `config-linux.md`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything a worker needs to set itself up as a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The container id, for messages.
    pub id: String,
    /// `hostname`; only set when the container has a UTS namespace of its own.
    pub hostname: Option<String>,
    /// `domainname`; as `hostname`.
    pub domainname: Option<String>,
    /// The root file system.
    pub rootfs: Rootfs,
    /// `mounts`, in order.
    pub mounts: Vec<Mount>,
    /// `linux.namespaces` but for the PID namespace, which the spawn makes.
    pub namespaces: Vec<Namespace>,
    /// The user namespace, `None` for the node's.
    pub user_namespace: Option<UserNamespace>,
    /// `linux.devices`, and the default devices of the specification.
    pub devices: Vec<DeviceNode>,
    /// `linux.maskedPaths`.
    pub masked_paths: Vec<PathBuf>,
    /// `linux.readonlyPaths`.
    pub readonly_paths: Vec<PathBuf>,
    /// `linux.sysctl`, as (name, value).
    pub sysctls: Vec<(String, String)>,
    /// `process`.
    pub process: Process,
    /// `linux.seccomp`, compiled for this architecture; empty means no filter.
    pub seccomp: Vec<Instruction>,
    /// `linux.seccomp.flags`, as `SECCOMP_FILTER_FLAG_*`.
    pub seccomp_flags: u32,
    /// What the guest may use, from `linux.resources`.
    pub limits: Limits,
    /// The options of the handler in containerd's configuration: TOML, not looked at, at most [`MAX_OPTIONS`]
    /// bytes.
    pub options: String,
    /// `annotations` whose names begin with [`ANNOTATION_PREFIX`], sorted; at most [`MAX_ANNOTATIONS`], their
    /// values cut to [`MAX_ANNOTATION_VALUE`] bytes.
    pub annotations: Vec<(String, String)>,
}

/// What the names of annotations begin with that a worker is told about.
pub const ANNOTATION_PREFIX: &str = "slipway.dev/";

/// The longest [`Plan::options`], in bytes.
pub const MAX_OPTIONS: usize = 64 << 10;

/// The most [`Plan::annotations`].
pub const MAX_ANNOTATIONS: usize = 64;

/// The longest value of one of [`Plan::annotations`], in bytes: longer than any that is right.
pub const MAX_ANNOTATION_VALUE: usize = 1 << 10;

/// `root` and the mounts that containerd passes to `Task.Create`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rootfs {
    /// Where the root file system is mounted before the pivot: `<bundle>/rootfs`.
    pub path: PathBuf,
    /// The snapshotter's mounts, made on `path` in the worker's own mount namespace.
    pub mounts: Vec<Mount>,
    /// `root.readonly`.
    pub readonly: bool,
    /// `linux.rootfsPropagation`, as `MS_*` flags; 0 for the default, `MS_SLAVE | MS_REC`.
    pub propagation: u64,
}

/// One mount. Options are split as mount(2) wants them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The file system type; empty for a bind mount.
    pub fstype: String,
    /// Device, directory or label.
    pub source: String,
    /// Inside the container (spec mounts) or below the rootfs path (snapshotter mounts, usually empty).
    pub target: PathBuf,
    /// `MS_*` flags to set, `MS_BIND`, `MS_REC` and `MS_RDONLY` among them.
    pub flags: u64,
    /// `MS_*` flags that options like `rw` or `exec` clear.
    pub clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, with or without `MS_REC`; 0 for none.
    pub propagation: u64,
    /// Options for the file system itself, comma separated.
    pub data: String,
    /// `rro`, `rnosuid` and the like: attributes for this mount and every mount below it.
    pub recursive: RecursiveAttributes,
    /// `uidMappings`, `gidMappings`; the snapshotter's `uidmap=`, `gidmap=`.
    pub id_map: Option<IdMapped>,
}

/// A mount whose files have other owners in the container than on the node (mount_setattr(2), "ID-mapped mounts").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapped {
    /// Which; `None` for those of the container's user namespace.
    pub maps: Option<IdMaps>,
    /// For the mounts below it too.
    pub recursive: bool,
}

/// User and group ids inside and outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMaps {
    /// `uidMappings`
    pub uids: Vec<IdMap>,
    /// `gidMappings`
    pub gids: Vec<IdMap>,
}

/// A range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// `containerID`, the first one inside.
    pub inside: u32,
    /// `hostID`, the first one outside.
    pub outside: u32,
    /// `size`
    pub size: u32,
}

/// The user namespace of `linux.namespaces`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// Join the one at this path; make a new one when `None`.
    pub path: Option<PathBuf>,
    /// `linux.uidMappings`, `linux.gidMappings`
    pub maps: IdMaps,
}

impl IdMaps {
    /// Who a user of the container is on the node.
    #[must_use]
    pub fn uid(&self, inside: u32) -> Option<u32> {
        outside(&self.uids, inside)
    }

    /// Which a group of the container is on the node.
    #[must_use]
    pub fn gid(&self, inside: u32) -> Option<u32> {
        outside(&self.gids, inside)
    }
}

fn outside(maps: &[IdMap], inside: u32) -> Option<u32> {
    maps.iter().find_map(|map| {
        let offset = inside.checked_sub(map.inside)?;
        let within = offset < map.size;
        within.then(|| map.outside.checked_add(offset)).flatten()
    })
}

/// `MOUNT_ATTR_*` flags for mount_setattr(2) with `AT_RECURSIVE`; both 0 for nothing to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecursiveAttributes {
    /// Flags to set.
    pub set: u64,
    /// Flags to clear.
    pub clear: u64,
}

/// The namespaces a worker enters by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceKind {
    /// `ipc`
    Ipc,
    /// `uts`
    Uts,
    /// `network`
    Net,
    /// `mount`
    Mount,
    /// `cgroup`
    Cgroup,
}

/// One entry of `linux.namespaces`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Which one.
    pub kind: NamespaceKind,
    /// Join the namespace at this path; make a new one when `None`.
    pub path: Option<PathBuf>,
}

/// A device node in the container's `/dev`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNode {
    /// Inside the container.
    pub path: PathBuf,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// `process`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// `args`; the first names the wasm file, with an optional `#function`.
    pub args: Vec<String>,
    /// `env`, as `NAME=value`. For the guest only: it never enters the worker's own environment.
    pub env: Vec<String>,
    /// `cwd`, absolute.
    pub cwd: PathBuf,
    /// `user.uid`
    pub uid: u32,
    /// `user.gid`
    pub gid: u32,
    /// `user.additionalGids`
    pub additional_gids: Vec<u32>,
    /// `user.umask`
    pub umask: Option<u32>,
    /// `capabilities`
    pub capabilities: Capabilities,
    /// `noNewPrivileges`
    pub no_new_privileges: bool,
    /// `rlimits`
    pub rlimits: Vec<Rlimit>,
    /// `oomScoreAdj`
    pub oom_score_adj: Option<i32>,
    /// `apparmorProfile`; `None` for none or `unconfined`.
    pub apparmor_profile: Option<String>,
}

/// The five capability sets, bit `n` standing for capability number `n` (capabilities(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// `bounding`
    pub bounding: u64,
    /// `effective`
    pub effective: u64,
    /// `permitted`
    pub permitted: u64,
    /// `inheritable`
    pub inheritable: u64,
    /// `ambient`
    pub ambient: u64,
}

/// One entry of `process.rlimits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_*` number.
    pub resource: u32,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// One instruction of a classic BPF program (`struct sock_filter`, seccomp(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Jump if true.
    pub jt: u8,
    /// Jump if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// What the guest may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// `linux.resources.memory.limit` in bytes; `None` for no limit.
    pub memory: Option<u64>,
    /// `quota / period` in thousandths of a CPU; `None` for no limit.
    pub milli_cpus: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_looked_up_in_their_range() {
        let map = |inside, outside, size| IdMap {
            inside,
            outside,
            size,
        };
        let maps = IdMaps {
            uids: vec![map(0, 65536, 10), map(100, 7, 1)],
            gids: vec![map(5, u32::MAX, 2)],
        };
        assert_eq!(maps.uid(0), Some(65536));
        assert_eq!(maps.uid(9), Some(65545));
        assert_eq!(maps.uid(10), None);
        assert_eq!(maps.uid(100), Some(7));
        assert_eq!(
            (maps.gid(4), maps.gid(5), maps.gid(6)),
            (None, Some(u32::MAX), None)
        );
    }
}
