//! `Shim`: a containerd shim, the nodes that are to have it, and the handlers it serves there.
//!
//! People make these objects; the operator makes one `NodeShim` a node of each, and holds a `Shim` that
//! is deleted until its nodes are clean.

#![allow(
    unreachable_pub,
    reason = "KubeSchema repeats the type, with its visibility, inside a function"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "every print column has a `type_`; the lint takes them for one attribute"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub mod handler;
pub mod rollout;
pub mod selector;
pub mod source;

pub use handler::{Handler, HandlerClass, Overhead, Sandboxer, Toleration};
pub use rollout::{Canary, CanarySuccess, Leftovers, Rollout, RolloutType, StartupTaint};
pub use selector::{Expression, NodeSelector, Operator};
pub use source::{
    Adopt, Bundled, Image, Platform, PlatformUrl, PullPolicy, PullSecret, Source, Url,
};

/// Where a shim comes from, which nodes get it and how, and what it serves.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "slipway.dev",
    version = "v1alpha1",
    kind = "Shim",
    plural = "shims",
    category = "wasm",
    shortname = "shim",
    status = "ShimStatus",
    derive = "PartialEq",
    doc = "A containerd shim: where it comes from, the nodes that are to have it, and the handlers it serves there. Deleting it takes it off its nodes.",
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$')").message("the name of a Shim stands in node labels: want 1 to 40 of a-z, 0-9 and '-', beginning and ending with a letter or digit"),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.nodesReady"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Handlers",
        type_ = "string",
        json_path = ".status.handlers"
    ),
    printcolumn(name = "Source", type_ = "string", json_path = ".status.source"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ShimSpec {
    /// Where the shim comes from: exactly one of `bundled`, `url`, `image` and `adopt`.
    pub source: Source,
    /// The nodes that are to have it, by their labels; an empty selector is all of them. Without one only the Shim
    /// `slipway` gets nodes: those annotated or labelled `kwasm.sh/kwasm-node=true`, which it gets in any case.
    /// A node that says `kwasm.sh/kwasm-node=false`, or that the shim cannot run on, is never taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<NodeSelector>,
    /// The runtime handlers it serves on its nodes.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(a, self.exists_one(b, (has(a.runtimeClass) && has(a.runtimeClass.name) ? a.runtimeClass.name : a.name) == (has(b.runtimeClass) && has(b.runtimeClass.name) ? b.runtimeClass.name : b.name)))").message("two handlers name the same RuntimeClass")
    )]
    pub handlers: Vec<Handler>,
    /// How a change reaches the nodes.
    #[serde(default, skip_serializing_if = "Rollout::is_default")]
    pub rollout: Rollout,
    /// Taints taken off a node once a Wasm pod has run on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, a.key == b.key && (has(a.effect) ? a.effect : '') == (has(b.effect) ? b.effect : '')))").message("a taint is listed twice"))]
    pub startup_taints: Vec<StartupTaint>,
    /// Set containerd's `use_local_image_pull` on the nodes (containerd 2.1 and newer), which plug-ins for images of
    /// Wasm layers need.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local_image_pull: bool,
    /// What to do with what KWasm or runtime-class-manager left on a node.
    #[serde(default, skip_serializing_if = "Leftovers::is_default")]
    pub leftovers: Leftovers,
    /// The pod that has to run through each handler before a node counts as ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

/// How far the nodes of a `Shim` are.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ShimStatus {
    /// The generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Progressing and Degraded; Reconciling or Stalled while that is true (kstatus). Ready is true when every
    /// node has what the spec asks for, and a Wasm pod has run on each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Nodes by how far they are.
    #[serde(default)]
    pub nodes: NodeCounts,
    /// Ready nodes of all that are to have it, as `2/3`.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub nodes_ready: String,
    /// Names of its handlers, separated by commas.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub handlers: String,
    /// `bundled`, `url`, `image` or `adopt`.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub source: String,
}

/// Nodes of a `Shim`, counted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounts {
    /// Nodes that are to have it.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub desired: u32,
    /// Those on which a Wasm pod has run; they carry the label.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub ready: u32,
    /// Those that are ready with what the spec asks for now.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub updated: u32,
    /// Nodes that are being changed or wait to be, those that are to be cleaned included.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub progressing: u32,
    /// Nodes on which the last operation failed.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub failed: u32,
}

impl Handler {
    /// Name of the `RuntimeClass` of this handler.
    #[must_use]
    pub fn class_name(&self) -> &str {
        self.runtime_class.name.as_deref().unwrap_or(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_spec_means_the_defaults() {
        let text = r#"{"source":{"bundled":{}},"handlers":[{"name":"wasmtime"}]}"#;
        let spec: ShimSpec = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&spec).unwrap(), text, "and back");
        assert_eq!(spec.source.kind(), "bundled");
        assert_eq!(spec.handlers[0].class_name(), "wasmtime");
        assert!(spec.handlers[0].runtime_class.create);
        assert_eq!(spec.rollout.at_a_time(), Some(1));
        assert!(spec.rollout.stops_on_failure());
        assert!(spec.node_selector.is_none(), "no nodes but those annotated");
    }

    #[test]
    fn recreate_has_no_bound_of_its_own() {
        let rollout: Rollout = serde_json::from_str(r#"{"type":"Recreate"}"#).unwrap();
        assert_eq!(rollout.at_a_time(), None);
        assert!(!rollout.stops_on_failure());
    }
}
