//! What the operator needs to know of a Node, and whether it asks for Wasm.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, NodeSystemInfo};
use kube::ResourceExt as _;
use slipway_crds::{labels, names};

/// How a kubelet names CRI-O, before its version.
const CRI_O: &str = "cri-o://";

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
    /// Architecture as the kubelet reports it; empty until it has.
    pub architecture: String,
    /// Why no shim can run here, or nothing.
    pub unsupported: Option<String>,
    /// What annotation or label say: `true` asks for Wasm, `false` opts out.
    pub asked: Option<bool>,
    /// Shims whose installer was let loose on it and has not cleaned up since.
    pub touched_by: BTreeSet<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints, by key and effect.
    pub taints: Vec<(String, String)>,
}

impl NodeFacts {
    /// Reads a Node.
    #[must_use]
    pub fn of(node: &Node) -> Self {
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
            control_plane: is_control_plane(node),
            architecture: info
                .map(|info| info.architecture.clone())
                .unwrap_or_default(),
            unsupported,
            asked: asked(node),
            touched_by: touched_by(node),
            labels: node.labels().clone(),
            taints: taints(node),
        }
    }

    /// Whether its kubelet has said what it is, and it is something a shim can run on.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        !self.architecture.is_empty() && self.unsupported.is_none()
    }

    /// The labels a node of this name carries once a Wasm pod has run on it: the shim's own, and those that
    /// all shims of a node share.
    #[must_use]
    pub fn proven_labels(&self, shim: &str) -> [(String, String); 3] {
        let [provisioned, wasm] = self.shared_labels();
        [
            (labels::shim_label(shim), labels::READY.to_owned()),
            provisioned,
            wasm,
        ]
    }

    /// The labels that stand as long as one shim of the node is proven.
    #[must_use]
    pub fn shared_labels(&self) -> [(String, String); 2] {
        [
            (
                labels::PROVISIONED.to_owned(),
                names::label_value(&self.name),
            ),
            (labels::WASM.to_owned(), "true".to_owned()),
        ]
    }

    /// Whether CRI-O runs its containers.
    #[must_use]
    pub fn has_cri_o(&self) -> bool {
        self.runtime_version.starts_with(CRI_O)
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

/// Whether a node carries the control plane.
#[must_use]
pub fn is_control_plane(node: &Node) -> bool {
    node.labels()
        .contains_key("node-role.kubernetes.io/control-plane")
}

fn touched_by(node: &Node) -> BTreeSet<String> {
    let keys = node.annotations().keys();
    keys.filter_map(|key| key.strip_prefix(labels::TOUCHED_PREFIX))
        .map(str::to_owned)
        .collect()
}

fn taints(node: &Node) -> Vec<(String, String)> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let all = taints.into_iter().flatten();
    all.map(|taint| (taint.key.clone(), taint.effect.clone()))
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
    let known = ["containerd://", CRI_O];
    let runtime = &info.container_runtime_version;
    if !known.iter().any(|known| runtime.starts_with(known)) {
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
    fn annotation_and_label_ask_and_false_in_either_opts_out() {
        let table = [
            (None, None, None),
            (Some("true"), None, Some(true)),
            (None, Some("true"), Some(true)),
            (Some("true"), Some("false"), Some(false)),
            (Some("false"), Some("true"), Some(false)),
            (Some("yes"), None, None),
        ];
        for (annotation, label, asked) in table {
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
                NodeFacts::of(&node).asked,
                asked,
                "annotation {annotation:?} label {label:?}"
            );
        }
    }

    #[test]
    fn what_a_shim_can_run_on() {
        for (os, arch, runtime, supported) in [
            ("linux", "amd64", "containerd://1.7.24", true),
            ("linux", "arm64", "containerd://2.1.0", true),
            ("windows", "amd64", "containerd://2.1.0", false),
            ("linux", "s390x", "containerd://2.1.0", false),
            // What it takes there depends on the Shim.
            ("linux", "amd64", "cri-o://1.34.0", true),
            ("linux", "amd64", "docker://20.10.24", false),
        ] {
            let facts = NodeFacts::of(&node(os, arch, runtime));
            assert_eq!(facts.is_supported(), supported, "{os} {arch} {runtime}");
        }
        let unreported = NodeFacts::of(&Node::default());
        assert!(!unreported.is_supported() && unreported.unsupported.is_none());
    }

    #[test]
    fn an_unknown_runtime_version_is_no_version() {
        assert_eq!(
            NodeFacts::of(&linux()).known_runtime_version(),
            Some("containerd://2.4.2")
        );
        let unknown = node("linux", "amd64", "containerd://Unknown");
        assert_eq!(NodeFacts::of(&unknown).known_runtime_version(), None);
    }
}
