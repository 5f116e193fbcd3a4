//! A change of a `Shim` on its way over the nodes.

use serde_json::json;

use crate::world::{World, node_path, object_path};

const NODES: [&str; 3] = ["worker-a", "worker-b", "worker-c"];

fn busy(world: &World) -> usize {
    let phases = NODES.iter().filter_map(|node| world.phase(node));
    phases
        .filter(|phase| matches!(phase.as_str(), "Installing" | "Verifying" | "Removing"))
        .count()
}

/// Goes on until everything rests, and says how many nodes were changed at a time.
async fn settle(world: &mut World, fails: impl Fn(&str) -> bool) -> usize {
    let mut most = 0;
    for _ in 0..30 {
        let before = world.api.version();
        world.round().await;
        most = most.max(busy(world));
        world.nodes_work_unless("done", &fails);
        if world.api.version() == before {
            break;
        }
    }
    most
}

async fn all_ready() -> World {
    let mut world = World::new(&NODES);
    for node in NODES {
        world.want(node, true);
    }
    settle(&mut world, |_| false).await;
    assert!(NODES.iter().all(|node| world.is_labelled(node)));
    assert_eq!(
        world.shim_condition("slipway", "Ready"),
        ("True".to_owned(), "AllNodesReady".to_owned())
    );
    world
}

/// The handlers stay, so that what was proven stays proven.
fn upgrade(world: &World) {
    world.edit_shim("slipway", |spec| {
        spec["handlers"][0]["options"] = json!({"mode": "auto"});
    });
}

/// Nodes that have failed; one may just be tried again.
fn failed(world: &World) -> Vec<&'static str> {
    let failures = |node: &&&str| {
        let object = world.api.get(&object_path(node)).expect("an object");
        object["status"]["failures"].as_u64().unwrap_or(0) > 0
    };
    NODES.iter().filter(failures).copied().collect()
}

fn goal_of(world: &World, node: &str) -> String {
    let object = world.api.get(&object_path(node)).expect("an object");
    object["status"]["proof"]["goal"].to_string()
}

#[tokio::test]
async fn an_upgrade_goes_node_by_node_and_every_node_stays_labelled() {
    let mut world = all_ready().await;
    let before = goal_of(&world, NODES[0]);
    upgrade(&world);
    world.round().await;
    assert_eq!(world.shim_condition("slipway", "Ready").1, "RollingOut");
    let mut most = 0;
    for _ in 0..30 {
        world.round().await;
        most = most.max(busy(&world));
        assert!(NODES.iter().all(|node| world.is_labelled(node)));
        world.nodes_work("done");
        if world.shim_condition("slipway", "Ready").1 == "AllNodesReady" {
            break;
        }
    }
    assert_eq!(most, 1, "maxUnavailable is 1 where nothing is said");
    assert!(NODES.iter().all(|node| goal_of(&world, node) != before));
    assert_eq!(world.shim_condition("slipway", "Ready").1, "AllNodesReady");
}

#[tokio::test]
async fn as_many_nodes_at_a_time_as_the_shim_says() {
    for (rollout, wanted) in [
        (json!({"maxUnavailable": 2}), 2),
        (json!({"type": "Recreate"}), 3),
    ] {
        let mut world = all_ready().await;
        world.edit_shim("slipway", |spec| spec["rollout"] = rollout.clone());
        upgrade(&world);
        assert_eq!(settle(&mut world, |_| false).await, wanted, "{rollout}");
    }
}

#[tokio::test]
async fn a_node_that_fails_stops_the_others_until_it_is_right() {
    let mut world = all_ready().await;
    let before = goal_of(&world, NODES[2]);
    upgrade(&world);
    settle(&mut world, |_| true).await;
    assert_eq!(failed(&world).len(), 1, "one, and no further one");
    let waiting: Vec<_> = NODES
        .iter()
        .filter(|node| goal_of(&world, node) == before)
        .collect();
    assert_eq!(waiting.len(), 2);
    assert!(
        waiting.iter().all(|node| world.is_labelled(node)),
        "they serve as before"
    );
    assert_eq!(
        world.shim_condition("slipway", "Degraded").1,
        "RolloutStopped"
    );

    // A change that may be the remedy starts it again.
    world.edit_shim("slipway", |spec| {
        spec["handlers"][0]["options"] = json!({"mode": "wasmtime"});
    });
    settle(&mut world, |_| false).await;
    assert!(NODES.iter().all(|node| world.is_labelled(node)));
    assert_eq!(world.shim_condition("slipway", "Ready").1, "AllNodesReady");
    assert_eq!(world.shim_condition("slipway", "Degraded").0, "False");
}

#[tokio::test]
async fn without_a_stop_each_node_fails_for_itself() {
    let mut world = all_ready().await;
    world.edit_shim("slipway", |spec| {
        spec["rollout"] = json!({"stopOnFailure": false});
    });
    upgrade(&world);
    settle(&mut world, |node| node == "worker-a").await;
    assert!(!world.is_labelled("worker-a"));
    assert!(world.is_labelled("worker-b") && world.is_labelled("worker-c"));
    assert_eq!(world.shim_condition("slipway", "Degraded").1, "NodesFailed");
}

#[tokio::test]
async fn a_failed_node_that_vanishes_lets_the_others_go_on() {
    let mut world = all_ready().await;
    upgrade(&world);
    settle(&mut world, |_| true).await;
    world.api.remove(&node_path(failed(&world)[0]));
    settle(&mut world, |_| false).await;
    assert_eq!(world.shim_condition("slipway", "Ready").1, "AllNodesReady");
}

#[tokio::test]
async fn another_node_of_the_same_name_starts_afresh_under_its_shim() {
    let mut world = all_ready().await;
    let node = world.api.get(&node_path("worker-b")).unwrap();
    world.api.edit(&node_path("worker-b"), |node| {
        node["metadata"]["uid"] = json!("another");
        node["metadata"]["labels"] = json!({});
    });
    assert_ne!(
        world.api.get(&node_path("worker-b")).unwrap()["metadata"]["uid"],
        node["metadata"]["uid"]
    );
    world.round().await;
    assert!(!world.is_labelled("worker-b"));
    settle(&mut world, |_| false).await;
    assert!(world.is_labelled("worker-b"));
}

#[tokio::test]
async fn another_canary_is_tried_node_by_node_without_an_installer() {
    let mut world = all_ready().await;
    let jobs = world.api.all("jobs").len();
    world.edit_shim("slipway", |spec| {
        spec["canary"] = json!({"image": "registry.test/hello:2"});
    });
    world.round().await;
    assert_eq!(world.shim_condition("slipway", "Ready").1, "RollingOut");
    let most = settle(&mut world, |_| false).await;
    assert_eq!(most, 1);
    assert_eq!(world.shim_condition("slipway", "Ready").1, "AllNodesReady");
    assert!(NODES.iter().all(|node| world.is_labelled(node)));
    assert_eq!(world.api.all("jobs").len(), jobs, "no further installer");
}

#[tokio::test]
async fn a_broken_canary_stops_at_the_first_node() {
    let mut world = all_ready().await;
    world.edit_shim("slipway", |spec| {
        spec["canary"] = json!({"image": "registry.test/broken:1"});
    });
    settle(&mut world, |_| true).await;
    assert_eq!(failed(&world).len(), 1);
    let labelled = NODES.iter().filter(|node| world.is_labelled(node));
    assert_eq!(labelled.count(), 2, "the others serve as before");
    assert_eq!(
        world.shim_condition("slipway", "Degraded").1,
        "RolloutStopped"
    );
    world.edit_shim("slipway", |spec| spec["canary"] = json!(null));
    settle(&mut world, |_| false).await;
    assert!(NODES.iter().all(|node| world.is_labelled(node)));
    assert_eq!(world.shim_condition("slipway", "Ready").1, "AllNodesReady");
}
