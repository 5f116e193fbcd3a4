//! `linux` (`config-linux.md`).

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{LinuxResources, Seccomp};

/// `linux`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// `netDevices`
    pub net_devices: Option<HashMap<String, IgnoredAny>>,
    /// `uidMappings`
    pub uid_mappings: Option<Vec<IdMapping>>,
    /// `gidMappings`
    pub gid_mappings: Option<Vec<IdMapping>>,
    /// `sysctl`
    pub sysctl: Option<HashMap<String, String>>,
    /// `resources`
    pub resources: Option<LinuxResources>,
    /// `cgroupsPath`
    pub cgroups_path: Option<PathBuf>,
    /// `namespaces`
    pub namespaces: Option<Vec<Namespace>>,
    /// `devices`
    pub devices: Option<Vec<Device>>,
    /// `seccomp`
    pub seccomp: Option<Seccomp>,
    /// `rootfsPropagation`
    pub rootfs_propagation: Option<String>,
    /// `maskedPaths`
    pub masked_paths: Option<Vec<String>>,
    /// `readonlyPaths`
    pub readonly_paths: Option<Vec<String>>,
    /// `mountLabel`
    pub mount_label: Option<String>,
    /// `intelRdt`
    pub intel_rdt: Option<IgnoredAny>,
    /// `memoryPolicy`
    pub memory_policy: Option<IgnoredAny>,
    /// `personality`
    pub personality: Option<IgnoredAny>,
    /// `timeOffsets`
    pub time_offsets: Option<HashMap<String, IgnoredAny>>,
}

/// One of `linux.namespaces`.
#[derive(Debug, Clone, Deserialize)]
pub struct Namespace {
    /// `type`
    #[serde(rename = "type")]
    pub typ: NamespaceType,
    /// `path`
    pub path: Option<PathBuf>,
}

/// The kind of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names of namespaces(7)")]
pub enum NamespaceType {
    Mount,
    Cgroup,
    Uts,
    Ipc,
    User,
    Pid,
    Network,
    Time,
}

/// One of `uidMappings` or `gidMappings`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct IdMapping {
    /// `containerID`
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// `hostID`
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// `size`
    pub size: u32,
}

/// One of `linux.devices`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// `path`
    #[serde(default)]
    pub path: PathBuf,
    /// `type`
    #[serde(rename = "type")]
    pub typ: DeviceType,
    /// `major`
    #[serde(default)]
    pub major: i64,
    /// `minor`
    #[serde(default)]
    pub minor: i64,
    /// `fileMode`
    pub file_mode: Option<u32>,
    /// `uid`
    pub uid: Option<u32>,
    /// `gid`
    pub gid: Option<u32>,
}

/// The kind of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceType {
    /// All, in cgroup rules.
    A,
    /// Block.
    B,
    /// Character.
    C,
    /// Character, unbuffered.
    U,
    /// FIFO.
    P,
}
