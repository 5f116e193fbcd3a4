//! `NodeShim`: one shim on one node, and all that is known about it.
//!
//! The operator makes and deletes these objects; people read them (`kubectl get nsh`). Deleting one
//! means "take the shim off that node": the finalizer holds it until the node is clean or gone.

#![allow(
    unreachable_pub,
    reason = "KubeSchema repeats the type, with its visibility, inside a function"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "every print column has a `type_`; the lint takes them for one attribute"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub mod status;

pub use status::{Installed, LastReport, Operation, Phase, Proof, Transaction};

/// Which shim on which node.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "slipway.dev",
    version = "v1alpha1",
    kind = "NodeShim",
    plural = "nodeshims",
    shortname = "nsh",
    category = "wasm",
    status = "NodeShimStatus",
    derive = "PartialEq",
    doc = "One shim on one node: what stands there, and if it is not ready, why. Made by the operator; deleting it takes the shim off the node.",
    selectable = ".spec.nodeName",
    selectable = ".spec.shim",
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.nodeName"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Containerd",
        type_ = "string",
        json_path = ".status.installed.containerdVersion"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Digest",
        type_ = "string",
        json_path = ".status.installed.digest",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("spec is immutable: delete the NodeShim, the operator makes a new one"))]
pub struct NodeShimSpec {
    /// Name of the Node.
    #[schemars(length(min = 1, max = 253))]
    pub node_name: String,
    /// Name of the `Shim`; the chart makes `slipway`, the one that comes with the installer image.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub shim: String,
}

/// What the operator has seen and done.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NodeShimStatus {
    /// The generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the node stands, in one word.
    #[serde(default)]
    pub phase: Phase,
    /// Ready, Progressing and Degraded; Reconciling or Stalled while that is true (kstatus).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// UID of the Node this status speaks of; a node of the same name with another UID starts afresh.
    #[serde(default, rename = "nodeUID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub node_uid: Option<String>,
    /// The install or uninstall under way, or else the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<Transaction>,
    /// Failures in a row.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub failures: u32,
    /// The last failure left the node as it was, on purpose; such a one does not stop a roll-out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// When a failed operation is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry_time: Option<Time>,
    /// What the last successful install reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Installed>,
    /// The last time a Wasm pod ran here, and under which circumstances. Absent: not proven, not labelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// The proof that was lost last, until there is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_proof: Option<Proof>,
    /// How often in a row something of the install was found gone within an hour of its proof.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(with = "i32", range(min = 0))]
    pub drifts: u32,
    /// The installer's last report, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_report: Option<LastReport>,
    /// Why the last operation did not succeed; absent after one that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub last_error: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_status_is_pending() {
        let status: NodeShimStatus = serde_json::from_str("{}").unwrap();
        assert_eq!(status, NodeShimStatus::default());
        assert_eq!(status.phase, Phase::Pending);
    }

    #[test]
    fn field_names_are_kubernetes_own_spelling() {
        let status = NodeShimStatus {
            node_uid: Some("u".into()),
            ..NodeShimStatus::default()
        };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["nodeUID"], "u");
    }
}
