//! A node from its annotation to its labels and back.

use serde_json::json;

use crate::world::{World, node_path, object_path};

async fn until_ready(world: &mut World, node: &str) {
    for _ in 0..10 {
        assert!(world.round().await);
        if world.phase(node).as_deref() == Some("Ready") {
            return;
        }
        assert!(!world.is_labelled(node), "labelled before a canary has run");
        world.nodes_work("done");
    }
    panic!("not ready: {:?}", world.api.get(&object_path(node)));
}

#[tokio::test]
async fn annotated_installed_proven_labelled_and_all_of_it_undone() {
    let mut world = World::new(&["worker"]);
    assert!(world.round().await);
    assert_eq!(world.phase("worker"), None, "nobody asked");

    world.want("worker", true);
    until_ready(&mut world, "worker").await;
    world.round().await;
    assert!(world.is_labelled("worker"));
    let pods = world.api.all("pods");
    assert!(
        pods.iter().all(|(path, _)| !path.contains("canary")),
        "canaries are gone"
    );

    world.want("worker", false);
    world.round().await;
    assert!(!world.is_labelled("worker"), "at once");
    for _ in 0..6 {
        world.round().await;
        world.nodes_work("done");
    }
    assert_eq!(world.phase("worker"), None);
    let node = world.api.get(&node_path("worker")).unwrap();
    let annotations = node["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations.len(), 1, "only the user's own: {annotations:?}");
    assert_eq!(
        world.events(),
        [
            "InstallStarted",
            "Installed",
            "WasmReady",
            "UninstallStarted",
            "Removed"
        ]
    );
}

#[tokio::test]
async fn a_refusal_is_told_and_leaves_no_label() {
    let mut world = World::new(&["worker"]);
    world.want("worker", true);
    for _ in 0..4 {
        world.round().await;
        world.nodes_work("refused");
    }
    let object = world.api.get(&object_path("worker")).unwrap();
    assert_eq!(object["status"]["phase"], "Failed");
    assert_eq!(object["status"]["lastReport"]["outcome"], "refused");
    assert_eq!(object["status"]["lastError"], "Reason: as told");
    assert_eq!(world.events(), ["InstallStarted", "InstallRefused"]);
    assert!(!world.is_labelled("worker"));
    assert_eq!(world.api.all("jobs").len(), 1, "not hammered");
}

#[tokio::test]
async fn pods_hold_up_the_uninstall_and_a_change_of_mind_ends_it() {
    let mut world = World::new(&["worker"]);
    world.want("worker", true);
    until_ready(&mut world, "worker").await;
    world.api.put(
        "/apis/node.k8s.io/v1/runtimeclasses/mine",
        json!({"metadata": {"name": "mine"}, "handler": "wasmtime"}),
    );
    let pod = "/api/v1/namespaces/shop/pods/web";
    world.api.put(
        pod,
        json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"runtimeClassName": "mine", "containers": []}}),
    );
    world.want("worker", false);
    for _ in 0..3 {
        world.round().await;
    }
    assert_eq!(world.phase("worker").as_deref(), Some("Draining"));

    world.want("worker", true);
    world.round().await;
    until_ready(&mut world, "worker").await;

    world.want("worker", false);
    world.api.remove(pod);
    for _ in 0..6 {
        world.round().await;
        world.nodes_work("done");
    }
    assert_eq!(world.phase("worker"), None);
}

#[tokio::test]
async fn a_node_that_is_deleted_takes_everything_along() {
    let mut world = World::new(&["worker"]);
    world.want("worker", true);
    for _ in 0..2 {
        world.round().await;
    }
    world.api.remove(&node_path("worker"));
    world.round().await;
    world.round().await;
    assert_eq!(world.phase("worker"), None);
}
