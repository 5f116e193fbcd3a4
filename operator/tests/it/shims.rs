//! More than one `Shim`, and a `Shim`'s end.

use serde_json::json;

use crate::world::{World, node_path, shim_path};

async fn settle(world: &mut World) {
    for _ in 0..30 {
        let before = world.api.version();
        world.round().await;
        world.nodes_work("done");
        if world.api.version() == before {
            break;
        }
    }
}

fn spin() -> serde_json::Value {
    json!({
        "source": {"adopt": {"path": "/usr/local/bin/containerd-shim-spin-v2"}},
        "nodeSelector": {"matchLabels": {"pool": "spin"}},
        "handlers": [{"name": "spin"}],
        "startupTaints": [{"key": "slipway.dev/starting"}],
    })
}

fn pool(world: &World, node: &str) {
    world.api.edit(&node_path(node), |node| {
        node["metadata"]["labels"]["pool"] = json!("spin");
    });
}

#[tokio::test]
async fn a_node_with_two_shims_gets_one_job_at_a_time_and_keeps_shared_labels() {
    let mut world = World::new(&["worker"]);
    world.make_shim("spin", &spin());
    world.want("worker", true);
    pool(&world, "worker");
    for _ in 0..30 {
        world.round().await;
        let running = world.api.all("jobs");
        let running = running.iter().filter(|(_, job)| job["status"].is_null());
        assert!(running.count() <= 1, "two Jobs on one node");
        world.nodes_work("done");
    }
    for label in [
        "slipway.dev/slipway",
        "slipway.dev/spin",
        "kubernetes.io/wasm",
    ] {
        assert!(world.has_label("worker", label), "{label}");
    }

    world.want("worker", false);
    settle(&mut world).await;
    assert_eq!(world.phase("worker"), None, "false opts out of all");
    assert_eq!(world.phase_of("worker", "spin"), None);
    for label in [
        "slipway.dev/spin",
        "kubernetes.io/wasm",
        "kwasm.sh/kwasm-provisioned",
    ] {
        assert!(!world.has_label("worker", label), "{label}");
    }
}

#[tokio::test]
async fn taking_one_shim_off_leaves_the_other() {
    let mut world = World::new(&["worker"]);
    world.make_shim("spin", &spin());
    world.want("worker", true);
    pool(&world, "worker");
    settle(&mut world).await;
    world.api.edit(&node_path("worker"), |node| {
        node["metadata"]["labels"]["pool"] = json!("other");
    });
    settle(&mut world).await;
    assert_eq!(world.phase_of("worker", "spin"), None);
    assert!(!world.has_label("worker", "slipway.dev/spin"));
    assert!(world.has_label("worker", "kubernetes.io/wasm"));
    assert!(world.is_labelled("worker"));
}

#[tokio::test]
async fn startup_taints_go_when_the_node_is_proven() {
    let mut world = World::new(&["worker"]);
    world.make_shim("spin", &spin());
    pool(&world, "worker");
    let taints = json!([
        {"key": "slipway.dev/starting", "effect": "NoSchedule"},
        {"key": "dedicated", "value": "wasm", "effect": "NoSchedule"},
    ]);
    world
        .api
        .edit(&node_path("worker"), |node| node["spec"]["taints"] = taints);
    for _ in 0..2 {
        world.round().await;
    }
    let left =
        |world: &World| world.api.get(&node_path("worker")).unwrap()["spec"]["taints"].clone();
    assert_eq!(left(&world).as_array().unwrap().len(), 2);
    settle(&mut world).await;
    assert_eq!(
        left(&world),
        json!([{"key": "dedicated", "value": "wasm", "effect": "NoSchedule"}])
    );
}

#[tokio::test]
async fn a_deleted_shim_is_held_until_its_nodes_are_clean() {
    let mut world = World::new(&["worker-a", "worker-b"]);
    for node in ["worker-a", "worker-b"] {
        world.want(node, true);
    }
    settle(&mut world).await;
    world.api.edit(&shim_path("slipway"), |shim| {
        assert_eq!(
            shim["metadata"]["finalizers"],
            json!(["slipway.dev/cleanup"])
        );
        shim["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    world.round().await;
    world.round().await;
    assert!(
        world.api.get(&shim_path("slipway")).is_some(),
        "its nodes are not clean"
    );
    assert_eq!(
        world.shim_condition("slipway", "Ready"),
        ("False".to_owned(), "Removing".to_owned())
    );
    settle(&mut world).await;
    assert_eq!(world.api.get(&shim_path("slipway")), None);
    for node in ["worker-a", "worker-b"] {
        assert_eq!(world.phase(node), None);
        let node = world.api.get(&node_path(node)).unwrap();
        let annotations = node["metadata"]["annotations"].as_object().unwrap();
        assert_eq!(annotations.len(), 1, "only the user's own: {annotations:?}");
    }
}

#[tokio::test]
async fn a_shim_that_was_forced_away_leaves_no_node_behind() {
    let mut world = World::new(&["worker"]);
    world.want("worker", true);
    settle(&mut world).await;
    world.api.remove(&shim_path("slipway"));
    settle(&mut world).await;
    assert_eq!(world.phase("worker"), None);
    assert!(!world.is_labelled("worker"));
}

#[tokio::test]
async fn a_handler_of_another_shim_is_not_taken_over() {
    let mut world = World::new(&["worker"]);
    world.want("worker", true);
    settle(&mut world).await;
    let mut rival = spin();
    rival["handlers"] = json!([{"name": "wasmtime"}]);
    rival["nodeSelector"] = json!({});
    world.make_shim("rival", &rival);
    settle(&mut world).await;
    assert_eq!(world.phase_of("worker", "rival").as_deref(), Some("Failed"));
    assert_eq!(world.shim_condition("rival", "Degraded").0, "True");
    assert!(world.is_labelled("worker"));
    assert!(world.events().contains(&"HandlerTaken".to_owned()));
}
