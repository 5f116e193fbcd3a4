//! `linux.resources` (`config-linux.md`, "Control groups"), also the payload of `Task.Update`.

use std::collections::HashMap;

use serde::Deserialize;

use crate::DeviceType;

/// `linux.resources`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinuxResources {
    /// `devices`
    pub devices: Option<Vec<LinuxDeviceCgroup>>,
    /// `memory`
    pub memory: Option<LinuxMemory>,
    /// `cpu`
    pub cpu: Option<LinuxCpu>,
    /// `pids`
    pub pids: Option<LinuxPids>,
    /// `hugepageLimits`
    pub hugepage_limits: Option<Vec<LinuxHugepageLimit>>,
    /// `unified`
    pub unified: Option<HashMap<String, String>>,
}

/// One of `linux.resources.devices`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct LinuxDeviceCgroup {
    /// `allow`
    #[serde(default)]
    pub allow: bool,
    /// `type`
    #[serde(rename = "type")]
    pub typ: Option<DeviceType>,
    /// `major`
    pub major: Option<i64>,
    /// `minor`
    pub minor: Option<i64>,
    /// `access`
    pub access: Option<String>,
}

/// `linux.resources.memory`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct LinuxMemory {
    /// `limit`
    pub limit: Option<i64>,
    /// `reservation`
    pub reservation: Option<i64>,
    /// `swap`
    pub swap: Option<i64>,
    /// `swappiness`
    pub swappiness: Option<u64>,
    /// `disableOOMKiller`
    #[serde(rename = "disableOOMKiller")]
    pub disable_oom_killer: Option<bool>,
}

/// `linux.resources.cpu`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct LinuxCpu {
    /// `shares`
    pub shares: Option<u64>,
    /// `quota`
    pub quota: Option<i64>,
    /// `idle`
    pub idle: Option<i64>,
    /// `burst`
    pub burst: Option<u64>,
    /// `period`
    pub period: Option<u64>,
    /// `cpus`
    pub cpus: Option<String>,
    /// `mems`
    pub mems: Option<String>,
}

/// `linux.resources.pids`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct LinuxPids {
    /// `limit`
    #[serde(default)]
    pub limit: i64,
}

/// One of `linux.resources.hugepageLimits`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LinuxHugepageLimit {
    /// `pageSize`
    pub page_size: String,
    /// `limit`
    pub limit: i64,
}
