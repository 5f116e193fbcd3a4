//! Control groups for Slipway's pod process.
//!
//! `cgroupsPath` of the OCI spec names where a container belongs and, by its form, who keeps that place: systemd
//! (`slice:prefix:name`) or nobody (`/a/path`, "cgroupfs"). This crate finds the directories on cgroup v1, hybrid and
//! v2, puts a process there with its limits, reads statistics, freezes, counts OOM kills, and removes it all again.
//! Paths are those `runc` would use, because kubelet and cAdvisor look for them by name.
//!
//! The pod process has one thread, so whatever may take long is a file descriptor to poll and a method to call when
//! it is readable ([`Placement`], [`UnitJob`], [`OomWatch`]).
//!
//! What it does not do: device rules on a cgroup v2 host without systemd (that takes a BPF program; a worker has no
//! `CAP_MKNOD` and no device nodes to open beyond those mounted for it), real-time scheduling, block I/O weights,
//! network classes and RDMA.

mod cgroup;
mod file;
mod freezer;
mod grace;
mod hierarchy;
mod oom;
mod path;
mod placement;
mod removal;
mod resources;
pub mod stats;
mod systemd;

pub use cgroup::{Cgroup, Error};
pub use file::FileError;
pub use hierarchy::{Hierarchies, HierarchyError, Version};
pub use oom::OomWatch;
pub use path::{CgroupsPath, PathError, Scope};
pub use placement::Placement;
pub use resources::{DeviceKind, DeviceRule, Hugepages, Resources, ResourcesError};
pub use stats::Stats;
pub use systemd::{SystemdConnection, SystemdError, UnitJob};
