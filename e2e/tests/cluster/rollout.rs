//! A node that fails stops the roll-out: the others are not touched.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use slipway_e2e::provision::PATIENCE;
use slipway_e2e::scene::{Failure, Start};
use slipway_e2e::stage::{Stage, on_all_workers};
use slipway_e2e::untouched::Untouched;
use slipway_e2e::{nodeshim, shim};

const SHIM: &str = "e2e-stop";

#[tokio::test]
async fn a_failing_node_stops_the_rollout() -> Result<(), Failure> {
    let test = "a_failing_node_stops_the_rollout";
    on_all_workers(test, Start::BareAlone, async |stage: &Stage| {
        let client = &stage.client;
        shim::delete(client, SHIM, PATIENCE).await?;
        let mut before = Vec::new();
        for scene in &stage.scenes {
            let inside = &scene.worker.inside;
            before.push((Untouched::of(inside).await?, inside.containerd_pid().await?));
        }
        let outcome =
            stops_and_goes_on(stage, &before.iter().map(|b| b.1).collect::<Vec<_>>()).await;
        // Also after a failure: the next test must not find it.
        let gone = shim::delete(client, SHIM, PATIENCE * 2).await;
        outcome?;
        gone?;
        for (scene, (before, _)) in stage.scenes.iter().zip(&before) {
            let inside = &scene.worker.inside;
            before
                .is_back(inside)
                .await
                .context(scene.worker.name.clone())?;
        }
        Ok(())
    })
    .await
}

async fn stops_and_goes_on(stage: &Stage, containerd: &[u32]) -> Result<()> {
    let client = &stage.client;
    // No file of this name is in the image: the canary exits with 127.
    shim::apply(client, SHIM, &spec(stage, "/no-such.wasm")).await?;
    let message = shim::until_reason(client, SHIM, "Degraded", "RolloutStopped", PATIENCE).await?;
    let (mut failed, mut untouched) = (0, 0);
    for (scene, containerd) in stage.scenes.iter().zip(containerd) {
        let name = &scene.worker.name;
        let found = nodeshim::get_of(client, name, SHIM).await?;
        let status = found.context("a selected node has no NodeShim")?.data["status"].clone();
        if status["transaction"].is_null() {
            untouched += 1;
            let now = scene.worker.inside.containerd_pid().await?;
            ensure!(now == *containerd, "{name}: containerd was restarted");
        } else {
            failed += 1;
            ensure!(
                message.contains(name),
                "{name} failed, but is not named: {message}"
            );
            ensure!(message.contains("CanaryFailed"), "no reason: {message}");
        }
    }
    ensure!(
        failed == 1 && untouched == stage.scenes.len() - 1,
        "{failed} failed, {untouched} untouched"
    );

    shim::apply(client, SHIM, &spec(stage, "/job.wasm")).await?;
    shim::until_reason(client, SHIM, "Ready", "AllNodesReady", PATIENCE * 2).await?;
    Ok(())
}

fn spec(stage: &Stage, command: &str) -> Value {
    let mut spec = stage.bundled(SHIM);
    spec["canary"] = json!({ "image": stage.settings.guests, "command": [command] });
    spec
}
