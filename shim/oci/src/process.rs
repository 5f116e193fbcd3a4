//! `process` (`config.md`, "Process").

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Capability;

/// `process`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// `terminal`
    pub terminal: Option<bool>,
    /// `user`
    pub user: User,
    /// `args`
    pub args: Option<Vec<String>>,
    /// `env`
    pub env: Option<Vec<String>>,
    /// `cwd`
    pub cwd: PathBuf,
    /// `capabilities`
    pub capabilities: Option<Capabilities>,
    /// `rlimits`
    pub rlimits: Option<Vec<Rlimit>>,
    /// `noNewPrivileges`
    pub no_new_privileges: Option<bool>,
    /// `apparmorProfile`
    pub apparmor_profile: Option<String>,
    /// `oomScoreAdj`
    pub oom_score_adj: Option<i32>,
    /// `selinuxLabel`
    pub selinux_label: Option<String>,
    /// `ioPriority`
    pub io_priority: Option<IgnoredAny>,
    /// `scheduler`
    pub scheduler: Option<IgnoredAny>,
}

/// `process.user`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// `uid`
    pub uid: u32,
    /// `gid`
    pub gid: u32,
    /// `umask`
    pub umask: Option<u32>,
    /// `additionalGids`
    pub additional_gids: Option<Vec<u32>>,
}

/// `process.capabilities`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Capabilities {
    /// `bounding`
    pub bounding: Option<Vec<Capability>>,
    /// `effective`
    pub effective: Option<Vec<Capability>>,
    /// `inheritable`
    pub inheritable: Option<Vec<Capability>>,
    /// `permitted`
    pub permitted: Option<Vec<Capability>>,
    /// `ambient`
    pub ambient: Option<Vec<Capability>>,
}

/// One of `process.rlimits`.
#[derive(Debug, Clone, Deserialize)]
pub struct Rlimit {
    /// `type`
    #[serde(rename = "type")]
    pub typ: RlimitType,
    /// `hard`
    #[serde(default)]
    pub hard: u64,
    /// `soft`
    #[serde(default)]
    pub soft: u64,
}

/// What is limited (getrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names of getrlimit(2)")]
pub enum RlimitType {
    RlimitCpu,
    RlimitFsize,
    RlimitData,
    RlimitStack,
    RlimitCore,
    RlimitRss,
    RlimitNproc,
    RlimitNofile,
    RlimitMemlock,
    RlimitAs,
    RlimitLocks,
    RlimitSigpending,
    RlimitMsgqueue,
    RlimitNice,
    RlimitRtprio,
    RlimitRttime,
}
