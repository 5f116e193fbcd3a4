//! `linux.seccomp` (`config-linux.md`, "Seccomp").

use std::path::PathBuf;

use serde::Deserialize;

/// `linux.seccomp`
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    /// `defaultAction`
    pub default_action: SeccompAction,
    /// `defaultErrnoRet`
    pub default_errno_ret: Option<u32>,
    /// `flags`
    pub flags: Option<Vec<SeccompFlag>>,
    /// `listenerPath`
    pub listener_path: Option<PathBuf>,
    /// `syscalls`
    pub syscalls: Option<Vec<SeccompSyscall>>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names of the specification")]
pub enum SeccompAction {
    ScmpActKill,
    ScmpActKillThread,
    ScmpActKillProcess,
    ScmpActTrap,
    ScmpActErrno,
    ScmpActNotify,
    ScmpActTrace,
    ScmpActLog,
    ScmpActAllow,
}

/// One of `linux.seccomp.flags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names of the specification")]
pub enum SeccompFlag {
    SeccompFilterFlagLog,
    SeccompFilterFlagTsync,
    SeccompFilterFlagSpecAllow,
    SeccompFilterFlagWaitKillableRecv,
}

/// One of `linux.seccomp.syscalls`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompSyscall {
    /// `names`
    pub names: Vec<String>,
    /// `action`
    pub action: SeccompAction,
    /// `errnoRet`
    pub errno_ret: Option<u32>,
    /// `args`
    pub args: Option<Vec<SeccompArg>>,
}

/// One of a rule's `args`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompArg {
    /// `index`
    pub index: usize,
    /// `value`
    pub value: u64,
    /// `valueTwo`
    pub value_two: Option<u64>,
    /// `op`
    pub op: SeccompOperator,
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names of the specification")]
pub enum SeccompOperator {
    ScmpCmpNe,
    ScmpCmpLt,
    ScmpCmpLe,
    ScmpCmpEq,
    ScmpCmpGe,
    ScmpCmpGt,
    ScmpCmpMaskedEq,
}
