//! Which nodes a `Shim` is to stand on. Pure.

use slipway_crds::{BUNDLED_SHIM, Shim};

use crate::node_facts::NodeFacts;

/// Whether this node is to have this shim.
///
/// A node that opts out has none. The default shim stands where the annotation asks for it, on a node it
/// cannot run on too, so that it can say why not there; `auto_provision` and selectors take what fits only.
#[must_use]
pub fn wants(shim: &Shim, node: &NodeFacts, auto_provision: bool) -> bool {
    if shim.metadata.deletion_timestamp.is_some() || node.asked == Some(false) {
        return false;
    }
    let is_default = shim.metadata.name.as_deref() == Some(BUNDLED_SHIM);
    if is_default && node.asked == Some(true) {
        return true;
    }
    let selector = shim.spec.node_selector.as_ref();
    let selected = (is_default && auto_provision)
        || selector.is_some_and(|selector| selector.matches(&node.labels));
    selected && !node.architecture.is_empty() && unsupported(shim, node).is_none()
}

/// Why this shim cannot run on this node, or nothing.
#[must_use]
pub fn unsupported(shim: &Shim, node: &NodeFacts) -> Option<String> {
    if let Some(why) = &node.unsupported {
        return Some(why.clone());
    }
    // It runs OCI runtimes, not shims of containerd (docs/adr/0009).
    if node.has_cri_o() && shim.spec.source.adopt.is_none() {
        return Some(format!(
            "container runtime {}: it runs no shim of containerd, only what a Shim with the source adopt names: a crun with a Wasm engine",
            node.runtime_version
        ));
    }
    let url = shim.spec.source.url.as_ref()?;
    let mut platforms = url.platforms.iter();
    let known = platforms.any(|entry| entry.platform.architecture() == node.architecture);
    (!known && !node.architecture.is_empty()).then(|| {
        format!(
            "architecture {}: the Shim has no URL for it",
            node.architecture
        )
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Node, NodeStatus, NodeSystemInfo};
    use serde_json::{Value, json};

    use super::*;

    fn node(architecture: &str) -> NodeFacts {
        let info = NodeSystemInfo {
            operating_system: "linux".into(),
            architecture: architecture.into(),
            container_runtime_version: "containerd://2.4.2".into(),
            ..NodeSystemInfo::default()
        };
        NodeFacts::of(&Node {
            status: Some(NodeStatus {
                node_info: Some(info),
                ..NodeStatus::default()
            }),
            ..Node::default()
        })
    }

    fn shim(name: &str, selector: Value) -> Shim {
        let mut spec = json!({"source": {"bundled": {}}, "handlers": [{"name": "wasmtime"}]});
        spec["nodeSelector"] = selector;
        Shim::new(name, serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn annotation_and_auto_provision_are_for_the_default_shim() {
        for (name, asked, auto, wanted) in [
            ("slipway", None, false, false),
            ("slipway", Some(true), false, true),
            ("slipway", None, true, true),
            ("slipway", Some(false), true, false),
            ("other", Some(true), false, false),
            ("other", None, true, false),
        ] {
            let mut node = node("amd64");
            node.asked = asked;
            let shim = shim(name, Value::Null);
            assert_eq!(wants(&shim, &node, auto), wanted, "{name} {asked:?} {auto}");
        }
    }

    #[test]
    fn a_selector_takes_nodes_that_fit_and_do_not_opt_out() {
        let mut labelled = node("arm64");
        labelled.labels.insert("pool".into(), "wasm".into());
        let pool = shim("other", json!({"matchLabels": {"pool": "wasm"}}));
        assert!(wants(&pool, &labelled, false));
        assert!(!wants(&pool, &node("arm64"), false));
        assert!(wants(&shim("other", json!({})), &node("arm64"), false));
        assert!(!wants(&shim("other", json!({})), &node("s390x"), true));
        assert!(
            !wants(&shim("other", json!({})), &node(""), false),
            "not reported yet"
        );
        labelled.asked = Some(false);
        assert!(!wants(&pool, &labelled, false));
    }

    #[test]
    fn an_annotated_node_that_cannot_run_it_is_told_so() {
        let mut node = node("s390x");
        node.asked = Some(true);
        let default = shim("slipway", Value::Null);
        assert!(wants(&default, &node, false));
        assert!(unsupported(&default, &node).unwrap().contains("s390x"));
    }

    #[test]
    fn cri_o_gets_only_what_is_adopted() {
        let mut node = node("amd64");
        node.runtime_version = "cri-o://1.34.0".into();
        let bundled = shim("slipway", json!({}));
        assert!(unsupported(&bundled, &node).unwrap().contains("adopt"));
        assert!(!wants(&bundled, &node, true));
        let spec = json!({
            "source": {"adopt": {"path": "/usr/bin/crun-wasm"}},
            "handlers": [{"name": "wasmedge"}], "nodeSelector": {},
        });
        let adopted = Shim::new("crun", serde_json::from_value(spec).unwrap());
        assert_eq!(unsupported(&adopted, &node), None);
        assert!(wants(&adopted, &node, false));
    }

    #[test]
    fn a_platform_without_url_is_not_taken() {
        let spec = json!({
            "source": {"url": {"binary": "b", "platforms": [
                {"platform": "linux/amd64", "url": "https://mirror.test/b", "sha256": "0".repeat(64)},
            ]}},
            "nodeSelector": {}, "handlers": [{"name": "spin"}],
        });
        let shim = Shim::new("spin", serde_json::from_value(spec).unwrap());
        assert!(wants(&shim, &node("amd64"), false));
        assert!(!wants(&shim, &node("arm64"), false));
    }

    #[test]
    fn a_shim_that_is_deleted_wants_nothing() {
        let mut shim = shim("slipway", json!({}));
        shim.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
            ));
        assert!(!wants(&shim, &node("amd64"), true));
    }
}
