//! A node that fails stops the roll-out: the others are not touched.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use slipway_e2e::provision::PATIENCE;
use slipway_e2e::scene::{Failure, Start};
use slipway_e2e::stage::{Stage, on_all_workers};
use slipway_e2e::{nodeshim, shim};

const SHIM: &str = "e2e-stop";

#[tokio::test]
async fn a_failing_node_stops_the_rollout() -> Result<(), Failure> {
    let test = "a_failing_node_stops_the_rollout";
    on_all_workers(test, Start::BareAlone, async |stage: &Stage| {
        stage
            .leaves_nothing_of(SHIM, async || stops_and_goes_on(stage).await)
            .await
    })
    .await
}

async fn stops_and_goes_on(stage: &Stage) -> Result<()> {
    let client = &stage.client;
    let mut containerd = Vec::new();
    for scene in &stage.scenes {
        containerd.push(scene.worker.inside.containerd_pid().await?);
    }
    // No file of this name is in the image: the canary exits with 127.
    shim::apply(client, SHIM, &spec(stage, "/no-such.wasm")).await?;
    let message = shim::until_reason(client, SHIM, "Degraded", "RolloutStopped", PATIENCE).await?;
    let (mut failed, mut untouched) = (0, 0);
    for (scene, containerd) in stage.scenes.iter().zip(&containerd) {
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
