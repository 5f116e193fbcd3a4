//! How a shim reaches its nodes, and when they count as ready.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::handler::Effect;

/// How a change reaches the nodes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.type) || self.type == 'Rolling' || (!has(self.maxUnavailable) && !has(self.stopOnFailure))").message("rollout: maxUnavailable and stopOnFailure belong to type Rolling"))]
pub struct Rollout {
    /// `Rolling` changes a few nodes at a time, `Recreate` as many as the operator is allowed.
    #[serde(default, rename = "type")]
    pub type_: RolloutType,
    /// How many nodes may be changed at a time; 1 where nothing is said. A node is being changed from the start of
    /// the installer until a Wasm pod has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 1000))]
    pub max_unavailable: Option<u32>,
    /// Whether no further node is changed while one has failed; true where nothing is said. A node that was refused,
    /// and so left as it was, stops nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_on_failure: Option<bool>,
}

impl Rollout {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How many nodes may be changed at a time, as far as this goes.
    #[must_use]
    pub fn at_a_time(&self) -> Option<usize> {
        match self.type_ {
            RolloutType::Rolling => Some(self.max_unavailable.unwrap_or(1) as usize),
            RolloutType::Recreate => None,
        }
    }

    /// Whether a node that failed stops the others.
    #[must_use]
    pub fn stops_on_failure(&self) -> bool {
        self.type_ == RolloutType::Rolling && self.stop_on_failure.unwrap_or(true)
    }
}

/// Ways to reach the nodes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RolloutType {
    /// A few nodes at a time, workers before the control plane.
    #[default]
    Rolling,
    /// As many nodes at a time as the operator is allowed, whatever becomes of the others.
    Recreate,
}

/// A taint that keeps pods off a new node until it is ready.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct StartupTaint {
    /// Its key.
    #[schemars(
        length(min = 1, max = 317),
        regex(
            pattern = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
        )
    )]
    #[x_kube(validation = Rule::new("!self.startsWith('node.kubernetes.io/')").message("key: taints of node.kubernetes.io/ belong to Kubernetes"))]
    pub key: String,
    /// Its effect; none stands for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

/// What to do with what others left on a node.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leftovers {
    /// Leave it.
    #[default]
    Keep,
    /// Remove `/opt/kwasm`, `/opt/rcm` and their tables in containerd's configuration.
    Remove,
}

impl Leftovers {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde's signature for skip_serializing_if"
    )]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The pod that shows that a handler works.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.image) || !has(self.command)").message("canary: a command needs an image"))]
pub struct Canary {
    /// Its image; the installer's, which holds a WASI command, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: Option<String>,
    /// Its command; the image's own where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(max = 512)))]
    pub command: Option<Vec<String>>,
    /// When it has succeeded.
    #[serde(default)]
    pub success: CanarySuccess,
}

/// When a canary has succeeded.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CanarySuccess {
    /// When it has exited with 0.
    #[default]
    Completed,
    /// When its container runs, as for a server.
    Running,
}
