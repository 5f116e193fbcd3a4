//! A node's life, one observation at a time.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use slipway_crds::conditions::{DEGRADED, PROGRESSING, READY, RECONCILING, STALLED, find, is_true};
use slipway_crds::shim::CanarySuccess;
use slipway_crds::{NodeShim, NodeShimSpec, Shim};

use super::*;
use crate::goal::Goal;
use crate::node_controller::drift::Drift;
use crate::node_controller::observed::{CanaryState, JobState};
use crate::report::Report;
use crate::settings::test_settings;

mod install;
mod lost;
mod proof;
mod remove;
mod said;

const NOW: i64 = 1_000_000;

/// A node that is wanted, ready and has its turn; nothing done yet.
fn fresh() -> Observed {
    Observed {
        now: Timestamp::from_second(NOW).unwrap(),
        object: NodeShim {
            metadata: ObjectMeta {
                name: Some("n.slipway".into()),
                uid: Some("object-uid".into()),
                generation: Some(1),
                finalizers: Some(vec![labels::FINALIZER.into()]),
                ..ObjectMeta::default()
            },
            spec: NodeShimSpec {
                node_name: "n".into(),
                shim: "slipway".into(),
            },
            status: None,
        },
        node: Some(NodeFacts {
            name: "n".into(),
            uid: "node-uid".into(),
            boot_id: "boot".into(),
            runtime_version: "containerd://2.4.2".into(),
            ready: true,
            control_plane: false,
            architecture: "amd64".into(),
            unsupported: None,
            asked: Some(true),
            touched_by: BTreeSet::new(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
        }),
        shim: None,
        wanted: true,
        unsupported: None,
        stopped: None,
        taken: None,
        shared: false,
        job: JobState::Missing,
        canaries: Vec::new(),
        drifts: Vec::new(),
        users: Vec::new(),
        turn: true,
        goal: goal(&["wasmtime"]),
        conflicts: Vec::new(),
    }
}

fn goal(handlers: &[&str]) -> Goal {
    let handlers: Vec<_> = handlers.iter().map(|name| json!({"name": name})).collect();
    let spec = json!({"source": {"bundled": {}}, "handlers": handlers});
    let shim = Shim::new("slipway", serde_json::from_value(spec).unwrap());
    Goal {
        hash: "goal".into(),
        ..Goal::of(&shim, &test_settings().installer, "amd64")
    }
}

impl Observed {
    /// Plans, and takes the plan's status in as the API server would.
    fn step(&mut self) -> Plan {
        let next = plan(self);
        self.object.status = Some(next.status.clone());
        for action in &next.actions {
            if let (Action::Mark(on), Some(node)) = (action, &mut self.node) {
                node.touched_by = on.then(|| "slipway".to_owned()).into_iter().collect();
            }
            if let (Action::Label(which), Some(node)) = (action, &mut self.node) {
                for (key, value) in node.proven_labels("slipway") {
                    match which {
                        Labels::All => drop(node.labels.insert(key, value)),
                        Labels::Shared if key != "slipway.dev/slipway" => {}
                        Labels::Shared | Labels::None => drop(node.labels.remove(&key)),
                    }
                }
            }
            if let (Action::Untaint(startup), Some(node)) = (action, &mut self.node) {
                node.taints
                    .retain(|(key, effect)| !covers(startup, key, effect));
            }
        }
        next
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn node_mut(&mut self) -> &mut NodeFacts {
        self.node.as_mut().unwrap()
    }

    fn later(&mut self, seconds: i64) {
        self.now = Timestamp::from_second(self.now.as_second() + seconds).unwrap();
    }

    fn delete(&mut self) {
        self.object.metadata.deletion_timestamp = Some(Time(self.now));
    }

    fn reports(&mut self, operation: &str, outcome: &str, reason: &str) {
        let operation_is = if operation == "install" {
            Operation::Install
        } else {
            Operation::Uninstall
        };
        let code = i32::from(!matches!(outcome, "done" | "unchanged"));
        let text = format!(
            r#"{{"version":1,"operation":"{operation}","outcome":"{outcome}","reason":"{reason}","message":"said {reason}",
            "containerd":{{"version":"2.4.2","config":"/etc/containerd/conf.d/99-slipway.toml","method":"dropIn"}},
            "shim":{{"digest":"d","path":"/opt/slipway/d/containerd-shim-slipway-v1"}},"handlers":["wasmtime"],"restarted":true}}"#
        );
        self.job = JobState::Reported(Box::new(Report::parse(&text, operation_is, code).unwrap()));
    }

    /// Every wanted canary is in this state.
    fn canaries_are(&mut self, state: &CanaryState) {
        self.canaries = Draft::new(self)
            .wanted_canaries()
            .into_iter()
            .map(|(name, _)| Canary {
                name,
                state: state.clone(),
            })
            .collect();
    }
}

/// Runs `fresh` up to its installer Job.
fn installing() -> Observed {
    let mut seen = fresh();
    seen.step();
    assert_eq!(phase(&seen), Phase::Installing);
    seen
}

fn verifying() -> Observed {
    installing().with(|seen| {
        seen.reports("install", "done", "Installed");
        seen.step();
        seen.job = JobState::Missing;
        assert_eq!(phase(seen), Phase::Verifying);
    })
}

fn ready() -> Observed {
    verifying().with(|seen| {
        seen.canaries_are(&CanaryState::Succeeded);
        seen.step();
        assert_eq!(phase(seen), Phase::Ready);
        seen.canaries.clear();
    })
}

fn removing() -> Observed {
    ready().with(|seen| {
        seen.wanted = false;
        seen.delete();
        seen.step();
        assert_eq!(phase(seen), Phase::Removing);
    })
}

fn phase(seen: &Observed) -> Phase {
    seen.object.status.as_ref().unwrap().phase
}

fn reasons(plan: &Plan) -> Vec<Reason> {
    plan.events.iter().map(|event| event.reason).collect()
}

fn condition<'a>(plan: &'a Plan, type_: &str) -> (&'a str, &'a str) {
    let found = find(&plan.status.conditions, type_).unwrap();
    (&found.status, &found.reason)
}
