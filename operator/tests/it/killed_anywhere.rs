//! The operator is killed at each of its writes, before and after it takes effect. The next one goes
//! on: same end, no label without a canary, one Job an operation.

use crate::api::Fault;
use crate::world::{World, object_path};

/// More writes than a whole life has.
const WRITES: u64 = 40;

#[tokio::test]
async fn install_and_removal_converge_wherever_the_operator_dies() {
    let mut struck = 0;
    for nth in 1..=WRITES {
        for fault in [Fault::Before, Fault::After] {
            let mut world = World::new(&["worker"]);
            world.api.fail(nth, fault);
            world.want("worker", true);
            live(&mut world, nth, fault, |world| {
                world.phase("worker").as_deref() == Some("Ready")
            })
            .await;
            world.round().await;
            assert!(world.is_labelled("worker"), "write {nth} {fault:?}");
            world.want("worker", false);
            live(&mut world, nth, fault, |world| {
                world.phase("worker").is_none()
            })
            .await;
            assert!(!world.is_labelled("worker"), "write {nth} {fault:?}");
            let jobs = world.api.all("jobs");
            assert_eq!(jobs.len(), 2, "write {nth} {fault:?}: {jobs:?}");
            struck += u64::from(!world.api.fault_is_due());
        }
    }
    assert!(
        struck >= 30,
        "the faults met the operator's writes: {struck}"
    );
    assert!(
        struck < 2 * WRITES,
        "and a whole life was covered: {struck}"
    );
}

async fn live(world: &mut World, nth: u64, fault: Fault, end: impl Fn(&World) -> bool) {
    for _ in 0..12 {
        let canaried =
            world.api.all("pods").iter().any(|(path, pod)| {
                path.contains("canary") && pod["status"]["phase"] == "Succeeded"
            });
        let was_labelled = world.is_labelled("worker");
        if !world.round().await {
            world.kill_operator();
        }
        let labelled_now = world.is_labelled("worker") && !was_labelled;
        assert!(
            !labelled_now || canaried,
            "write {nth} {fault:?}: labelled without proof"
        );
        world.nodes_work("done");
        if end(world) {
            return;
        }
    }
    panic!(
        "write {nth} {fault:?}: stuck at {:#?}",
        world.api.get(&object_path("worker"))
    );
}
