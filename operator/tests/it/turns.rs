//! Several nodes at once: one is changed at a time, the control plane last.

use crate::world::World;

#[tokio::test]
async fn one_node_at_a_time_and_the_control_plane_last() {
    let nodes = ["control-plane", "worker-a", "worker-b"];
    let mut world = World::new(&nodes);
    for node in nodes {
        world.want(node, true);
    }
    let mut order = Vec::new();
    for _ in 0..30 {
        world.round().await;
        let busy = nodes
            .iter()
            .filter(|node| {
                matches!(
                    world.phase(node).as_deref(),
                    Some("Installing" | "Verifying")
                )
            })
            .count();
        assert!(busy <= 1, "{busy} nodes at a time");
        for node in nodes {
            if world.is_labelled(node) && !order.contains(&node) {
                order.push(node);
            }
        }
        world.nodes_work("done");
    }
    assert_eq!(order.len(), 3, "{order:?}");
    assert_eq!(order[2], "control-plane");
}
