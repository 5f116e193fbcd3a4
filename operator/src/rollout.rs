//! Whether a roll-out is stopped: a node failed with what is asked for now, and the `Shim` says that no
//! further one shall. Pure.
//!
//! A node on which it was begun already is never stopped: it may be the one that failed, and trying it again
//! is how a roll-out goes on. Removals are not stopped either.

use std::sync::Arc;

use kube::ResourceExt as _;
use slipway_crds::{NodeShim, Shim};

use crate::goal::Asked;
use crate::node_controller::plan::was_proven;

/// The reason in `Progressing` of a node that waits since the roll-out is stopped.
pub const STOPPED: &str = "RolloutStopped";

/// Why this node may not begin, or nothing. `asked` is what the `Shim` asks for now.
#[must_use]
pub fn stopped(
    object: &NodeShim,
    shim: &Shim,
    asked: &Asked,
    all: &[Arc<NodeShim>],
) -> Option<String> {
    if !shim.spec.rollout.stops_on_failure() || has_begun(object, asked) {
        return None;
    }
    first_failed(&shim.name_any(), asked, all).map(|failed| {
        let why = failed
            .status
            .as_ref()
            .and_then(|status| status.last_error.clone())
            .unwrap_or_default();
        format!("node {} has failed: {why}", failed.spec.node_name)
    })
}

/// The first node, by name, that failed with what is asked for now.
#[must_use]
pub fn first_failed<'a>(
    shim: &str,
    asked: &Asked,
    all: &'a [Arc<NodeShim>],
) -> Option<&'a NodeShim> {
    let failed = all
        .iter()
        .map(Arc::as_ref)
        .filter(|object| object.spec.shim == shim && has_failed(object, asked));
    failed.min_by(|a, b| a.spec.node_name.cmp(&b.spec.node_name))
}

fn has_begun(object: &NodeShim, asked: &Asked) -> bool {
    let status = object.status.as_ref();
    status
        .and_then(|status| status.transaction.as_ref())
        .is_some_and(|transaction| asked.is_of(transaction))
}

/// Until it has succeeded: trying it again is no reason to begin with others. One that has succeeded with the same
/// before tells of the node and nothing of what is rolled out: new nodes go on joining.
fn has_failed(object: &NodeShim, asked: &Asked) -> bool {
    let Some(status) = &object.status else {
        return false;
    };
    let transaction = status.transaction.as_ref();
    object.metadata.deletion_timestamp.is_none()
        && has_begun(object, asked)
        && status.failures > 0
        && !status.refused
        && !transaction.is_some_and(|transaction| was_proven(status, transaction))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shim(rollout: &Value) -> Shim {
        let spec = json!({
            "source": {"bundled": {}}, "handlers": [{"name": "wasmtime"}], "rollout": rollout,
        });
        Shim::new("slipway", serde_json::from_value(spec).unwrap())
    }

    fn node(name: &str, shim: &str, goal: &str, failures: u32, refused: bool) -> Arc<NodeShim> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": format!("{name}.{shim}")},
                "spec": {"nodeName": name, "shim": shim},
                "status": {
                    "failures": failures, "refused": refused, "lastError": "CanaryFailed: no",
                    "transaction": {
                        "number": 1, "operation": "install", "job": "j", "goal": goal,
                        "startTime": "2026-01-01T00:00:00Z",
                    },
                },
            }))
            .unwrap(),
        )
    }

    fn asked() -> Asked {
        Asked {
            goals: ["new".to_owned(), "new-arm".to_owned()],
            canary: None,
        }
    }

    fn why(object: &NodeShim, shim: &Shim, all: &[Arc<NodeShim>]) -> Option<String> {
        stopped(object, shim, &asked(), all)
    }

    #[test]
    fn a_failed_node_stops_those_that_have_not_begun() {
        let waits = node("b", "slipway", "old", 0, false);
        let rolling = shim(&json!({}));
        let failed = node("a", "slipway", "new", 1, false);
        let said = why(&waits, &rolling, &[failed.clone(), waits.clone()]);
        assert_eq!(said.unwrap(), "node a has failed: CanaryFailed: no");
        assert_eq!(
            why(&failed, &rolling, &[failed.clone(), waits.clone()]),
            None
        );
        let other = node("c", "slipway", "new", 2, false);
        assert_eq!(
            why(&other, &rolling, &[failed, other.clone()]),
            None,
            "both try again"
        );
    }

    #[test]
    fn a_node_that_failed_with_another_canary_stops_those_that_have_not_tried_it() {
        let with_canary = |object: &Arc<NodeShim>| {
            let mut object = NodeShim::clone(object);
            let transaction = object.status.as_mut().unwrap().transaction.as_mut();
            transaction.unwrap().canary = Some("c".into());
            Arc::new(object)
        };
        let waits = node("b", "slipway", "new", 0, false);
        let failed = with_canary(&node("a", "slipway", "new", 1, false));
        let asked = Asked {
            canary: Some("c".into()),
            ..asked()
        };
        let shim = shim(&json!({}));
        let all = [failed.clone(), waits.clone()];
        assert!(stopped(&waits, &shim, &asked, &all).is_some());
        assert_eq!(stopped(&failed, &shim, &asked, &all), None);
        let tries = with_canary(&waits);
        assert_eq!(stopped(&tries, &shim, &asked, &all), None);
    }

    #[test]
    fn a_node_that_had_it_once_stops_nobody() {
        let mut worn = NodeShim::clone(&node("a", "slipway", "new", 3, false));
        let status = worn.status.as_mut().unwrap();
        let proof = |goal: &str| {
            serde_json::from_value(json!({
                "time": "2026-01-01T00:00:00Z", "goal": goal, "bootID": "b", "runtimeVersion": "v", "handlers": [],
            }))
            .unwrap()
        };
        status.lost_proof = Some(proof("old"));
        let waits = node("b", "slipway", "old", 0, false);
        let rolling = shim(&json!({}));
        assert!(why(&waits, &rolling, &[Arc::new(worn.clone())]).is_some());
        worn.status.as_mut().unwrap().lost_proof = Some(proof("new"));
        assert_eq!(why(&waits, &rolling, &[Arc::new(worn)]), None);
    }

    #[test]
    fn what_stops_nothing() {
        let waits = node("b", "slipway", "old", 0, false);
        for (failed, what) in [
            (node("a", "slipway", "new", 0, false), "succeeded"),
            (node("a", "slipway", "new", 1, true), "refused"),
            (
                node("a", "slipway", "old", 1, false),
                "failed with what was asked before",
            ),
            (node("a", "other", "new", 1, false), "another shim"),
        ] {
            assert_eq!(why(&waits, &shim(&json!({})), &[failed]), None, "{what}");
        }
        let failed = node("a", "slipway", "new", 1, false);
        for rollout in [json!({"stopOnFailure": false}), json!({"type": "Recreate"})] {
            assert_eq!(
                why(&waits, &shim(&rollout), std::slice::from_ref(&failed)),
                None
            );
        }
        let mut leaves = NodeShim::clone(&failed);
        leaves.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(why(&waits, &shim(&json!({})), &[Arc::new(leaves)]), None);
    }
}
