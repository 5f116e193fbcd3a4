//! The parts of a `NodeShim`'s status.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a node stands, in one word.
#[derive(
    JsonSchema,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
)]
pub enum Phase {
    /// Waits: for the node to be Ready, for its turn, or for the operator to look.
    #[default]
    Pending,
    /// The installer runs on the node.
    Installing,
    /// A Wasm pod runs on the node, to show that it can.
    Verifying,
    /// A Wasm pod has run; the node is labelled.
    Ready,
    /// The labels are off; pods that use the shim are waited for.
    Draining,
    /// The installer takes the shim off the node.
    Removing,
    /// The last operation failed; it is tried again at `nextRetryTime`.
    Failed,
}

impl Phase {
    /// Every phase, in the order a node goes through them.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Installing,
        Self::Verifying,
        Self::Ready,
        Self::Draining,
        Self::Removing,
        Self::Failed,
    ];

    /// Whether the node's container runtime is being changed or tried right now.
    #[must_use]
    pub const fn is_busy(self) -> bool {
        matches!(self, Self::Installing | Self::Verifying | Self::Removing)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What an installer Job does.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Puts the shim on the node.
    Install,
    /// Gives back every byte.
    Uninstall,
}

impl Operation {
    /// The installer's subcommand, also used in names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Uninstall => "uninstall",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One install or uninstall of a node. Written before its Job is made, so that an operator that is
/// killed in between finds its intent and goes on with it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// Counts up for the life of the object; part of the Job's name, so that none is taken for another.
    #[schemars(with = "i32", range(min = 1))]
    pub number: u32,
    /// What it does.
    pub operation: Operation,
    /// Name of its Job, in the namespace of the installer's pods.
    #[schemars(length(max = 63))]
    pub job: String,
    /// Hash of what was asked for (image, shim, handlers, install root).
    #[schemars(length(max = 64))]
    pub goal: String,
    /// When it began.
    pub start_time: Time,
    /// Hash of the canary that was asked for; absent: the installer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub canary: Option<String>,
    /// Hash of where the shim's files were fetched from: a corrected address is tried at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub address: Option<String>,
    /// When its canary pods were first wanted, or anew since another canary was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_time: Option<Time>,
}

/// What stands on the node.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// Digest of the shim's binaries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub digest: Option<String>,
    /// The shim's absolute path on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub path: Option<String>,
    /// Version of the containerd that serves the kubelet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub containerd_version: Option<String>,
    /// The configuration file that was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub config_file: Option<String>,
    /// How: `dropIn` or `inPlace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub method: Option<String>,
    /// `systemd` or `cgroupfs`, as the node's containerd has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub cgroup_driver: Option<String>,
    /// Handlers containerd knows now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub handlers: Vec<String>,
    /// The image that installed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub installer_image: Option<String>,
}

/// A Wasm pod ran: when, and on what. The labels stand only as long as all of it still holds.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// When the last canary of the set had succeeded.
    pub time: Time,
    /// Hash of what was asked for then.
    #[schemars(length(max = 64))]
    pub goal: String,
    /// Hash of the canary that ran; absent: the installer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub canary: Option<String>,
    /// Boot of the node it ran in.
    #[serde(rename = "bootID")]
    #[schemars(length(max = 64))]
    pub boot_id: String,
    /// The node's `containerRuntimeVersion` then.
    #[schemars(length(max = 128))]
    pub runtime_version: String,
    /// The handlers a canary ran through.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub handlers: Vec<String>,
}

/// The installer's report, in short.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LastReport {
    /// What it was to do.
    pub operation: Operation,
    /// `done`, `unchanged`, `refused`, `rolledBack` or `failed`.
    #[schemars(length(max = 32))]
    pub outcome: String,
    /// `CamelCase`.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// One sentence.
    #[schemars(length(max = 2048))]
    pub message: String,
    /// What is worth knowing besides, a sentence each: leftovers, settings that images will want.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 1024)))]
    pub notes: Vec<String>,
    /// Whether containerd was restarted.
    #[serde(default)]
    pub restarted: bool,
    /// How long the installer's steps took together.
    #[serde(default)]
    #[schemars(with = "i64", range(min = 0))]
    pub duration_ms: u64,
    /// When the operator read it.
    pub time: Time,
}
