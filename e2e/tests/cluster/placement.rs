//! A node that is cordoned and tainted gets a shim all the same, since it may be waiting for just that; it loses the taint
//! that was put there to wait for it, and no other; and relabelled out of the `Shim`'s selection it is cleaned.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use serde_json::json;
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::untouched::Untouched;
use slipway_e2e::wait::until;
use slipway_e2e::{nodeshim, pods, provision, shim};

const POOL: &str = "e2e.test/pool";
/// Waits for the shim.
const STARTING: &str = "e2e.test/starting";
/// Has nothing to do with it.
const OTHER: &str = "e2e.test/other";

#[tokio::test]
async fn cordoned_and_tainted_nodes_get_what_they_wait_for() -> Result<(), Failure> {
    let test = "cordoned_and_tainted_nodes_get_what_they_wait_for";
    on_each_worker(test, Start::BareAlone, async |scene: &Scene| {
        let name = format!("e2e-placed-{}", scene.worker.name);
        clear(scene, &name).await?;
        let before = Untouched::of(&scene.worker.inside).await?;
        let outcome = scenario(scene, &name).await;
        // Also after a failure: the next test wants a node that takes pods.
        let cleared = clear(scene, &name).await;
        outcome?;
        cleared?;
        before.is_back(&scene.worker.inside).await
    })
    .await
}

async fn scenario(scene: &Scene, name: &str) -> Result<()> {
    let node = &*scene.worker.name;
    let spec = json!({
        "source": { "bundled": {} },
        "nodeSelector": { "matchLabels": { POOL: name } },
        "handlers": [{ "name": name }],
        "startupTaints": [{ "key": STARTING, "effect": "NoSchedule" }],
    });
    shim::apply(&scene.client, name, &spec).await?;
    scene.kubectl_ok(&["cordon", node]).await?;
    for taint in [STARTING, OTHER] {
        let taint = format!("{taint}=yes:NoSchedule");
        scene.kubectl_ok(&["taint", "node", node, &taint]).await?;
    }
    let pool = format!("{POOL}={name}");
    scene.kubectl_ok(&["label", "node", node, &pool]).await?;

    nodeshim::until_ready(&scene.client, node, name, |_| true).await?;
    until("the startup taint to be gone", pods::PATIENCE, || async {
        let taints = taints(scene).await?;
        Ok(if taints.iter().any(|key| key == STARTING) {
            Err(format!("{taints:?}"))
        } else {
            Ok(taints)
        })
    })
    .await
    .and_then(|taints| {
        let kept = taints.iter().any(|key| key == OTHER);
        ensure!(kept, "another's taint was taken away: {taints:?}");
        let cordoned = taints
            .iter()
            .any(|key| key == "node.kubernetes.io/unschedulable");
        ensure!(cordoned, "the node was uncordoned: {taints:?}");
        Ok(())
    })?;

    open(scene).await?;
    scene.runs_a_job_by(name, "placed").await?;

    scene
        .kubectl_ok(&["label", "node", node, &format!("{POOL}-")])
        .await?;
    until("the node to be cleaned", provision::PATIENCE, || async {
        let found = nodeshim::get_of(&scene.client, node, name).await?;
        Ok(match found {
            None => Ok(()),
            Some(object) => Err(object.data["status"].to_string()),
        })
    })
    .await
}

async fn taints(scene: &Scene) -> Result<Vec<String>> {
    let nodes: Api<Node> = Api::all(scene.client.clone());
    let node = nodes.get(&scene.worker.name).await?;
    let taints = node.spec.context("no spec")?.taints.unwrap_or_default();
    Ok(taints.into_iter().map(|taint| taint.key).collect())
}

/// Lets pods onto the node again.
async fn open(scene: &Scene) -> Result<()> {
    let node = &*scene.worker.name;
    scene.kubectl_ok(&["uncordon", node]).await?;
    for key in [STARTING, OTHER] {
        if taints(scene).await?.iter().any(|found| found == key) {
            scene
                .kubectl_ok(&["taint", "node", node, &format!("{key}-")])
                .await?;
        }
    }
    Ok(())
}

async fn clear(scene: &Scene, name: &str) -> Result<()> {
    open(scene).await?;
    let node = &*scene.worker.name;
    scene
        .kubectl_ok(&["label", "node", node, &format!("{POOL}-")])
        .await?;
    shim::delete(&scene.client, name, provision::PATIENCE).await
}
