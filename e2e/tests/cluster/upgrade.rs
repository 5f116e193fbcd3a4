//! A new release of the chart, with other values, on its way over nodes that are in use.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use slipway_e2e::identity::Identity;
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::provision;
use slipway_e2e::scene::{Failure, Start};
use slipway_e2e::stage::{Stage, on_all_workers};
use slipway_e2e::wait::until;
use slipway_e2e::{cluster, helm, nodeshim, shim, watcher};

const POD: &str = "through-it-all";
/// An option of the handler: containerd's configuration changes, the handlers do not.
const CHANGE: &str = "handlers[0].name=wasmtime,handlers[0].options.http_request_timeout=7m";
/// A column of the definitions that the earlier chart does not have.
const COLUMN: &str = "Containerd";
/// Two nodes, one after the other.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn upgrade_goes_node_by_node_under_running_pods() -> Result<(), Failure> {
    let test = "upgrade_goes_node_by_node_under_running_pods";
    on_all_workers(test, Start::ReadyAlone, async |stage: &Stage| {
        let client = &stage.client;
        let earlier = tempfile::tempdir()?;
        let chart = helm::earlier_chart(earlier.path(), COLUMN).await?;
        helm::install_chart(&stage.settings, &chart, &[]).await?;
        cluster::operator_ready(client).await?;
        ensure!(
            !columns(client).await?.contains(&COLUMN.to_owned()),
            "the earlier chart has {COLUMN}"
        );
        let mut before = Vec::new();
        for (index, scene) in stage.scenes.iter().enumerate() {
            let name = format!("{POD}-{index}");
            pods::create(client, &scene.ns, scene.ticker(&name, Runtime::Wasm)).await?;
            pods::until_ready(client, &scene.ns, &name).await?;
            let goal = goal(stage, &scene.worker.name).await?.context("no proof")?;
            let containerd = scene.worker.inside.containerd_pid().await?;
            before.push((Identity::of(scene, &name).await?, goal, containerd));
        }

        // The same programs under another tag, as a release with nothing but a new version is.
        let next = format!("{}-next", stage.settings.tag);
        for scene in &stage.scenes {
            for image in ["slipway/operator", "slipway/node-installer"] {
                let now = format!("{image}:{}", stage.settings.tag);
                let name = format!("{image}:{next}");
                scene.worker.inside.tag_image(&now, &name).await?;
            }
        }
        let tags = [
            format!("image.tag={next}"),
            format!("installer.image.tag={next}"),
        ];
        helm::install_with(&stage.settings, &[CHANGE, &tags[0], &tags[1]]).await?;
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
        ensure!(
            columns(client).await?.contains(&COLUMN.to_owned()),
            "the definitions were not upgraded"
        );
        for scene in &stage.scenes {
            let node = &scene.worker.name;
            let found = nodeshim::get(client, node).await?.context("no NodeShim")?;
            let image = &found.data["status"]["installed"]["installerImage"];
            ensure!(
                image.as_str().is_some_and(|image| image.ends_with(&next)),
                "{node} was installed by {image}"
            );
            // Made by the upgrade: the earlier chart had none.
            watcher::until_watching(client, node).await?;
        }

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

/// What `kubectl get nodeshims` shows.
async fn columns(client: &Client) -> Result<Vec<String>> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let spec = definitions.get("nodeshims.slipway.dev").await?.spec;
    let columns = spec
        .versions
        .into_iter()
        .flat_map(|version| version.additional_printer_columns);
    Ok(columns.flatten().map(|column| column.name).collect())
}

/// The goal a node is proven with.
async fn goal(stage: &Stage, node: &str) -> Result<Option<String>> {
    let found = nodeshim::get(&stage.client, node).await?;
    Ok(found.and_then(|object| {
        let goal = &object.data["status"]["proof"]["goal"];
        goal.as_str().map(str::to_owned)
    }))
}
