//! A roll-out as its `Shim` tells it.

use serde_json::{Value, json};

use super::*;

fn shim() -> Shim {
    serde_json::from_value(json!({
        "metadata": {"name": "slipway", "generation": 3, "finalizers": [labels::FINALIZER]},
        "spec": {"source": {"bundled": {}}, "handlers": [{"name": "wasmtime"}, {"name": "spin"}]},
    }))
    .unwrap()
}

/// A node by its phase, the goal it is proven with, and the goal and failures of its last transaction.
fn node(name: &str, phase: &str, proof: Option<&str>, goal: &str, failures: u32) -> Arc<NodeShim> {
    let proof = proof.map_or(Value::Null, |goal| {
        json!({
            "time": "2026-01-01T00:00:00Z", "goal": goal, "bootID": "b", "runtimeVersion": "r", "handlers": [],
        })
    });
    let object = json!({
        "metadata": {"name": format!("{name}.slipway")},
        "spec": {"nodeName": name, "shim": "slipway"},
        "status": {
            "phase": phase, "proof": proof, "failures": failures, "lastError": "CanaryFailed: no such import",
            "transaction": {
                "number": 1, "operation": "install", "job": "j", "goal": goal, "startTime": "2026-01-01T00:00:00Z",
            },
        },
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn ready(name: &str, goal: &str) -> Arc<NodeShim> {
    node(name, "Ready", Some(goal), goal, 0)
}

fn seen(wanted: &[&str], objects: &[Arc<NodeShim>]) -> Observed {
    Observed {
        now: serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap(),
        shim: Arc::new(shim()),
        wanted: wanted.iter().map(|name| (*name).to_owned()).collect(),
        touched: false,
        objects: objects.to_vec(),
        asked: Asked {
            goals: ["new".to_owned(), "new-arm".to_owned()],
            canary: None,
        },
        conflicts: Vec::new(),
    }
}

fn condition<'a>(plan: &'a Plan, type_: &str) -> (&'a str, &'a str, &'a str) {
    let found = find(&plan.status.conditions, type_).unwrap();
    (&found.status, &found.reason, &found.message)
}

fn reasons(plan: &Plan) -> Vec<Reason> {
    plan.events.iter().map(|event| event.reason).collect()
}

#[test]
fn no_nodes_is_ready() {
    let plan = plan(&seen(&[], &[]));
    assert_eq!(
        condition(&plan, READY),
        ("True", "NoNodes", "no node is to have it")
    );
    assert_eq!(condition(&plan, PROGRESSING).0, "False");
    assert_eq!(plan.status.nodes_ready, "0/0");
    assert_eq!(plan.status.handlers, "wasmtime,spin");
    assert_eq!(plan.status.source, "bundled");
    assert_eq!(plan.status.observed_generation, Some(3));
}

#[test]
fn an_upgrade_is_ready_again_when_the_last_node_has_it() {
    let old = ready("a", "old");
    let half = plan(&seen(&["a", "b"], &[old.clone(), ready("b", "new-arm")]));
    let (status, reason, message) = condition(&half, READY);
    assert_eq!((status, reason), ("False", "RollingOut"));
    assert!(message.starts_with("1 of 2 nodes"), "{message}");
    assert_eq!(half.status.nodes_ready, "2/2", "the old one serves");
    let counts = half.status.nodes;
    assert_eq!(
        (counts.updated, counts.progressing, counts.failed),
        (1, 1, 0)
    );
    assert_eq!(reasons(&half), [Reason::RolloutStarted]);

    let mut all = seen(&["a", "b"], &[ready("a", "new"), ready("b", "new")]);
    Arc::make_mut(&mut all.shim).status = Some(half.status);
    let done = plan(&all);
    assert_eq!(condition(&done, READY).1, "AllNodesReady");
    assert_eq!(reasons(&done), [Reason::RolloutFinished]);
    Arc::make_mut(&mut all.shim).status = Some(done.status.clone());
    let again = plan(&all);
    assert_eq!(
        (again.events.len(), again.status),
        (0, done.status),
        "it rests"
    );
}

#[test]
fn a_failing_node_stops_the_roll_out_and_is_named() {
    let failed = node("b", "Failed", None, "new", 1);
    let plan = plan(&seen(&["a", "b"], &[ready("a", "old"), failed]));
    let says = "node b: CanaryFailed: no such import";
    assert_eq!(condition(&plan, READY), ("False", "RolloutStopped", says));
    assert_eq!(condition(&plan, PROGRESSING).0, "False");
    assert_eq!(condition(&plan, DEGRADED), ("True", "RolloutStopped", says));
    assert_eq!(plan.status.nodes.failed, 1);
    assert_eq!(reasons(&plan), [Reason::RolloutStopped]);
}

#[test]
fn without_a_stop_the_others_go_on() {
    let failed = [
        node("b", "Failed", None, "new", 1),
        node("c", "Failed", None, "new", 2),
    ];
    let mut seen = seen(
        &["a", "b", "c"],
        &[ready("a", "old"), failed[0].clone(), failed[1].clone()],
    );
    Arc::make_mut(&mut seen.shim).spec.rollout.stop_on_failure = Some(false);
    let plan = plan(&seen);
    let (_, reason, message) = condition(&plan, DEGRADED);
    assert_eq!(reason, "NodesFailed");
    assert!(
        message.ends_with("no such import (and 1 more)"),
        "{message}"
    );
    assert_eq!(condition(&plan, PROGRESSING).0, "True");
}

/// As the tests of a node's plan have it.
fn kstatus(plan: &Plan) -> (&'static str, String) {
    let all = &plan.status.conditions;
    let is = |type_: &str| is_true(all, type_);
    assert!(!(is(RECONCILING) && is(STALLED)), "{all:?}");
    let said = |type_: &str| find(all, type_).unwrap().reason.clone();
    match (is(RECONCILING), is(STALLED), is(READY)) {
        (true, _, _) => ("InProgress", said(RECONCILING)),
        (_, true, _) => ("Failed", said(STALLED)),
        (_, _, true) => ("Current", said(READY)),
        _ => ("InProgress", said(READY)),
    }
}

#[test]
fn who_reads_kstatus_is_told_the_truth_all_along() {
    let told = |nodes: &[Arc<NodeShim>], stops: bool| {
        let mut seen = seen(&["a", "b"], nodes);
        Arc::make_mut(&mut seen.shim).spec.rollout.stop_on_failure = Some(stops);
        let (status, reason) = kstatus(&plan(&seen));
        format!("{status} {reason}")
    };
    let failed = |name| node(name, "Failed", None, "new", 1);
    let retried = |name| {
        let mut object = NodeShim::clone(&node(name, "Installing", None, "new", 1));
        let status = object.status.as_mut().unwrap();
        let stalled = set(STALLED, true, "Retrying", "");
        let now = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        status.conditions = renew(&[], &[stalled], None, &now);
        Arc::new(object)
    };
    let (old, new) = (ready("b", "old"), ready("b", "new"));
    for (nodes, stops, wanted) in [
        (
            vec![ready("a", "new"), new.clone()],
            true,
            "Current AllNodesReady",
        ),
        (
            vec![ready("a", "new"), old.clone()],
            true,
            "InProgress RollingOut",
        ),
        (vec![ready("a", "new")], true, "InProgress RollingOut"),
        (
            vec![failed("a"), old.clone()],
            true,
            "Failed RolloutStopped",
        ),
        (
            vec![retried("a"), old.clone()],
            true,
            "Failed RolloutStopped",
        ),
        (vec![failed("a"), old], false, "InProgress RollingOut"),
        (vec![failed("a"), new.clone()], false, "Failed NodesFailed"),
        (vec![retried("a"), new], false, "Failed NodesFailed"),
    ] {
        assert_eq!(told(&nodes, stops), wanted);
    }
    assert_eq!(kstatus(&plan(&seen(&[], &[]))).0, "Current", "no nodes");
}

#[test]
fn nodes_without_an_object_yet_are_on_their_way() {
    let plan = plan(&seen(&["a", "b"], &[ready("a", "new")]));
    assert_eq!(plan.status.nodes.progressing, 1);
    assert_eq!(plan.status.nodes_ready, "1/2");
    assert_eq!(condition(&plan, READY).0, "False");
}

#[test]
fn a_node_that_is_not_wanted_any_more_counts_until_it_is_clean() {
    let plan = plan(&seen(&["a"], &[ready("a", "new"), ready("b", "new")]));
    assert_eq!(plan.status.nodes_ready, "1/1");
    assert_eq!(condition(&plan, READY).0, "True");
    assert_eq!(condition(&plan, PROGRESSING).0, "True");
}

#[test]
fn a_conflict_degrades_but_does_not_unready() {
    let mut seen = seen(&["a"], &[ready("a", "new")]);
    seen.conflicts = vec!["RuntimeClass wasmtime has handler x".into()];
    let plan = plan(&seen);
    assert_eq!(condition(&plan, READY).0, "True");
    assert_eq!(condition(&plan, DEGRADED).1, "RuntimeClassConflict");
}

#[test]
fn it_is_held_until_its_nodes_are_clean() {
    let mut fresh = seen(&[], &[]);
    Arc::make_mut(&mut fresh.shim).metadata.finalizers = None;
    assert_eq!(plan(&fresh).hold, Hold::Take);

    let mut leaves = seen(&[], &[ready("a", "new")]);
    let metadata = &mut Arc::make_mut(&mut leaves.shim).metadata;
    metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let told = plan(&leaves);
    assert_eq!(told.hold, Hold::AsIs);
    assert_eq!(condition(&told, READY).0, "False");
    assert_eq!(condition(&told, READY).1, "Removing");
    leaves.objects.clear();
    leaves.touched = true;
    assert_eq!(
        plan(&leaves).hold,
        Hold::AsIs,
        "an object is about to be made for it"
    );
    leaves.touched = false;
    assert_eq!(plan(&leaves).hold, Hold::Release);
}
