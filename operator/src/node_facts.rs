//! What the operator needs to know of a Node, and whether it asks for Wasm.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, NodeSystemInfo};
use kube::ResourceExt as _;
use slipway_crds::{labels, names};

/// A Node, reduced to what decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Name of the Node.
    pub name: String,
    /// Its UID: a node that was replaced has another.
    pub uid: String,
    /// Its boot: a node that was rebooted has another.
    pub boot_id: String,
    /// `containerd://2.4.2`; `…://Unknown` while the kubelet cannot ask.
    pub runtime_version: String,
    /// Whether the kubelet reports Ready.
    pub ready: bool,
    /// Whether it carries the control plane.
    pub control_plane: bool,
    /// Why the shim cannot run here, or nothing.
    pub unsupported: Option<String>,
    /// Whether Wasm is asked for.
    pub wanted: bool,
    /// Shims whose installer was let loose on it and has not cleaned up since.
    pub touched_by: BTreeSet<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl NodeFacts {
    /// Reads a Node.
    #[must_use]
    pub fn of(node: &Node, auto_provision: bool) -> Self {
        let status = node.status.as_ref();
        let info = status.and_then(|status| status.node_info.as_ref());
        let unsupported = info.and_then(unsupported);
        let ready = status
            .and_then(|status| status.conditions.as_ref())
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        Self {
            name: node.name_any(),
            uid: node.uid().unwrap_or_default(),
            boot_id: info.map(|info| info.boot_id.clone()).unwrap_or_default(),
            runtime_version: info
                .map(|info| info.container_runtime_version.clone())
                .unwrap_or_default(),
            // A node without node info has not been reported by its kubelet yet.
            ready: ready && info.is_some(),
            control_plane: node
                .labels()
                .contains_key("node-role.kubernetes.io/control-plane"),
            wanted: match asked(node) {
                Some(asked) => asked,
                None => auto_provision && info.is_some() && unsupported.is_none(),
            },
            unsupported,
            touched_by: touched_by(node),
            labels: node.labels().clone(),
        }
    }

    /// The labels a node of this name carries once a Wasm pod has run on it.
    #[must_use]
    pub fn proven_labels(&self, shim: &str) -> [(String, String); 3] {
        [
            (
                labels::PROVISIONED.to_owned(),
                names::label_value(&self.name),
            ),
            (labels::WASM.to_owned(), "true".to_owned()),
            (labels::shim_label(shim), labels::READY.to_owned()),
        ]
    }

    /// The runtime's version, unless the kubelet could not ask just then (it writes `Unknown` while
    /// containerd restarts; `pkg/kubelet/nodestatus/setters.go`@v1.36.3).
    #[must_use]
    pub fn known_runtime_version(&self) -> Option<&str> {
        let known =
            !self.runtime_version.is_empty() && !self.runtime_version.ends_with("://Unknown");
        known.then_some(&*self.runtime_version)
    }
}

fn touched_by(node: &Node) -> BTreeSet<String> {
    let keys = node.annotations().keys();
    keys.filter_map(|key| key.strip_prefix(labels::TOUCHED_PREFIX))
        .map(str::to_owned)
        .collect()
}

/// What annotation and label say together: `false` in either opts out, `true` in either asks.
fn asked(node: &Node) -> Option<bool> {
    let values = [
        node.annotations().get(labels::WANTED),
        node.labels().get(labels::WANTED),
    ];
    let says = |text: &str| values.iter().flatten().any(|value| *value == text);
    match (says("false"), says("true")) {
        (true, _) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    }
}

fn unsupported(info: &NodeSystemInfo) -> Option<String> {
    if info.operating_system != "linux" {
        return Some(format!(
            "operating system {}: the shim runs on linux",
            info.operating_system
        ));
    }
    if !matches!(info.architecture.as_str(), "amd64" | "arm64") {
        return Some(format!(
            "architecture {}: the shim is built for amd64 and arm64",
            info.architecture
        ));
    }
    if !info.container_runtime_version.starts_with("containerd://") {
        return Some(format!(
            "container runtime {}: the shim is for containerd",
            info.container_runtime_version
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{NodeCondition, NodeStatus};

    use super::*;

    fn node(os: &str, arch: &str, runtime: &str) -> Node {
        Node {
            status: Some(NodeStatus {
                conditions: Some(vec![NodeCondition {
                    type_: "Ready".into(),
                    status: "True".into(),
                    ..NodeCondition::default()
                }]),
                node_info: Some(NodeSystemInfo {
                    operating_system: os.into(),
                    architecture: arch.into(),
                    container_runtime_version: runtime.into(),
                    ..NodeSystemInfo::default()
                }),
                ..NodeStatus::default()
            }),
            ..Node::default()
        }
    }

    fn linux() -> Node {
        node("linux", "amd64", "containerd://2.4.2")
    }

    #[test]
    fn wanted_by_annotation_or_label_unless_opted_out() {
        // annotation, label, auto-provision, wanted
        let table = [
            (None, None, false, false),
            (None, None, true, true),
            (Some("true"), None, false, true),
            (None, Some("true"), false, true),
            (Some("true"), Some("false"), false, false),
            (Some("false"), Some("true"), true, false),
            (Some("false"), None, true, false),
            (Some("yes"), None, false, false),
            (Some("yes"), None, true, true),
        ];
        for (annotation, label, auto, wanted) in table {
            let mut node = linux();
            if let Some(value) = annotation {
                node.annotations_mut()
                    .insert(labels::WANTED.into(), value.into());
            }
            if let Some(value) = label {
                node.labels_mut()
                    .insert(labels::WANTED.into(), value.into());
            }
            assert_eq!(
                NodeFacts::of(&node, auto).wanted,
                wanted,
                "annotation {annotation:?} label {label:?} auto {auto}"
            );
        }
    }

    #[test]
    fn auto_provision_takes_what_can_run_it_only() {
        for (os, arch, runtime, taken) in [
            ("linux", "amd64", "containerd://1.7.24", true),
            ("linux", "arm64", "containerd://2.1.0", true),
            ("windows", "amd64", "containerd://2.1.0", false),
            ("linux", "s390x", "containerd://2.1.0", false),
            ("linux", "amd64", "cri-o://1.33.0", false),
        ] {
            let facts = NodeFacts::of(&node(os, arch, runtime), true);
            assert_eq!(facts.wanted, taken, "{os} {arch} {runtime}");
            assert_eq!(facts.unsupported.is_none(), taken);
        }
        assert!(
            !NodeFacts::of(&Node::default(), true).wanted,
            "not reported yet"
        );
    }

    #[test]
    fn an_unknown_runtime_version_is_no_version() {
        assert_eq!(
            NodeFacts::of(&linux(), false).known_runtime_version(),
            Some("containerd://2.4.2")
        );
        let unknown = node("linux", "amd64", "containerd://Unknown");
        assert_eq!(NodeFacts::of(&unknown, false).known_runtime_version(), None);
    }
}
