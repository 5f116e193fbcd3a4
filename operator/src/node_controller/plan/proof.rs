//! Whether what a canary showed still holds.

use slipway_crds::NodeShimStatus;
use slipway_crds::node_shim::{Proof, Transaction};

use crate::goal::Goal;
use crate::node_controller::drift::Drift;
use crate::node_facts::NodeFacts;

/// Why a proof no longer holds, or nothing. A reboot may have brought back an old configuration and
/// another containerd may read it differently (EKS AL2023 writes it anew at each boot), so either
/// means: not proven. Another image or fewer handlers mean nothing until the installer has run.
pub(super) fn lost(proof: &Proof, node: &NodeFacts, goal: &Goal) -> Option<String> {
    if proof.boot_id != node.boot_id {
        return Some("the node was rebooted".to_owned());
    }
    if let Some(version) = node.known_runtime_version()
        && version != proof.runtime_version
    {
        return Some(format!(
            "the container runtime changed from {} to {version}",
            proof.runtime_version
        ));
    }
    let new: Vec<_> = goal
        .handlers
        .iter()
        .filter(|handler| !proof.handlers.contains(handler))
        .map(String::as_str)
        .collect();
    if !new.is_empty() {
        return Some(format!(
            "no Wasm pod has run through {} yet",
            new.join(", ")
        ));
    }
    None
}

/// What a watcher has found gone of these handlers.
pub(super) fn drifted<'a>(handlers: &[String], drifts: &'a [Drift]) -> Option<&'a Drift> {
    drifts.iter().find(|drift| concerns(drift, handlers))
}

/// Whether it is about one of these handlers.
pub(super) fn concerns(drift: &Drift, handlers: &[String]) -> bool {
    drift.handlers.iter().any(|name| handlers.contains(name))
}

/// Whether a Wasm pod has run here with just this before, whatever has come since.
pub fn was_proven(status: &NodeShimStatus, transaction: &Transaction) -> bool {
    let proofs = [&status.proof, &status.lost_proof];
    let mut proofs = proofs.into_iter().flatten();
    proofs.any(|proof| proof.goal == transaction.goal && proof.canary == transaction.canary)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;
    use slipway_crds::Shim;

    use super::*;
    use crate::settings::test_settings;

    fn node(boot: &str, runtime: &str) -> NodeFacts {
        NodeFacts {
            name: "n".into(),
            uid: "u".into(),
            boot_id: boot.into(),
            runtime_version: runtime.into(),
            ready: true,
            control_plane: false,
            architecture: "amd64".into(),
            unsupported: None,
            asked: Some(true),
            touched_by: BTreeSet::new(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
        }
    }

    #[test]
    fn a_proof_holds_until_its_circumstances_change() {
        let proof = Proof {
            time: Time(Timestamp::UNIX_EPOCH),
            goal: "g".into(),
            canary: None,
            boot_id: "b".into(),
            runtime_version: "containerd://2.4.2".into(),
            handlers: vec!["wasmtime".into(), "spin".into()],
        };
        let goal = |handlers: &[&str]| {
            let handlers: Vec<_> = handlers.iter().map(|name| json!({"name": name})).collect();
            let spec = json!({"source": {"bundled": {}}, "handlers": handlers});
            let shim = Shim::new("slipway", serde_json::from_value(spec).unwrap());
            Goal::of(&shim, &test_settings().installer, "amd64")
        };
        for (boot, runtime, handlers, says) in [
            ("b", "containerd://2.4.2", &["wasmtime"][..], None),
            ("b", "containerd://Unknown", &["wasmtime"], None),
            ("c", "containerd://2.4.2", &["wasmtime"], Some("rebooted")),
            (
                "b",
                "containerd://2.4.3",
                &["wasmtime"],
                Some("from containerd://2.4.2 to containerd://2.4.3"),
            ),
            (
                "b",
                "containerd://2.4.2",
                &["wasmtime", "wws"],
                Some("through wws"),
            ),
        ] {
            let found = lost(&proof, &node(boot, runtime), &goal(handlers));
            match says {
                None => assert_eq!(found, None),
                Some(says) => assert!(
                    found.as_deref().is_some_and(|found| found.contains(says)),
                    "{found:?}"
                ),
            }
        }
    }
}
