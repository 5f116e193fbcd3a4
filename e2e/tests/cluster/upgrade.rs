//! A change of what is installed, on its way over nodes that are in use.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use slipway_e2e::identity::Identity;
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::provision;
use slipway_e2e::scene::{Failure, Start};
use slipway_e2e::stage::{Stage, on_all_workers};
use slipway_e2e::wait::until;
use slipway_e2e::{helm, nodeshim, shim};

const POD: &str = "through-it-all";
/// An option of the handler: containerd's configuration changes, the handlers do not.
const CHANGE: &str = "handlers[0].name=wasmtime,handlers[0].options.http_request_timeout=7m";
/// Two nodes, one after the other.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn upgrade_goes_node_by_node_under_running_pods() -> Result<(), Failure> {
    let test = "upgrade_goes_node_by_node_under_running_pods";
    on_all_workers(test, Start::ReadyAlone, async |stage: &Stage| {
        let client = &stage.client;
        let mut before = Vec::new();
        for (index, scene) in stage.scenes.iter().enumerate() {
            let name = format!("{POD}-{index}");
            pods::create(client, &scene.ns, scene.ticker(&name, Runtime::Wasm)).await?;
            pods::until_ready(client, &scene.ns, &name).await?;
            let goal = goal(stage, &scene.worker.name).await?.context("no proof")?;
            let containerd = scene.worker.inside.containerd_pid().await?;
            before.push((Identity::of(scene, &name).await?, goal, containerd));
        }

        helm::install_with(&stage.settings, &[CHANGE]).await?;
        let nodes: Api<Node> = Api::all(client.clone());
        until("every node to have the change", PATIENCE, || async {
            let (mut busy, mut done) = (Vec::new(), 0);
            for (scene, (_, old, _)) in stage.scenes.iter().zip(&before) {
                let name = &scene.worker.name;
                ensure!(
                    provision::labelled(&nodes.get(name).await?),
                    "{name} has lost its labels"
                );
                let found = nodeshim::get(client, name).await?;
                let found = found.with_context(|| format!("{name} has no NodeShim"))?;
                let phase = found.data["status"]["phase"].as_str().unwrap_or_default();
                if matches!(phase, "Installing" | "Verifying" | "Removing") {
                    busy.push(name.clone());
                }
                let now = goal(stage, name).await?;
                done += usize::from(phase == "Ready" && now.is_some_and(|goal| goal != *old));
            }
            ensure!(busy.len() <= 1, "changed at the same time: {busy:?}");
            Ok(if done == stage.scenes.len() {
                Ok(())
            } else {
                Err(format!("{done} are done, {busy:?} is being changed"))
            })
        })
        .await?;
        shim::until_reason(client, "slipway", "Ready", "AllNodesReady", pods::PATIENCE).await?;

        for (index, (scene, (pod, _, containerd))) in stage.scenes.iter().zip(&before).enumerate() {
            let name = format!("{POD}-{index}");
            let after = Identity::of(scene, &name).await?;
            ensure!(
                after == *pod,
                "{name} became another: {pod:?}, then {after:?}"
            );
            let lines = pods::log(client, &scene.ns, &name).await?.lines().count();
            pods::until_says_more(client, &scene.ns, &name, lines).await?;
            ensure!(
                scene.worker.inside.containerd_pid().await? != *containerd,
                "{}: containerd was not restarted, so nothing was shown",
                scene.worker.name
            );
        }
        Ok(())
    })
    .await
}

/// The goal a node is proven with.
async fn goal(stage: &Stage, node: &str) -> Result<Option<String>> {
    let found = nodeshim::get(&stage.client, node).await?;
    Ok(found.and_then(|object| {
        let goal = &object.data["status"]["proof"]["goal"];
        goal.as_str().map(str::to_owned)
    }))
}
