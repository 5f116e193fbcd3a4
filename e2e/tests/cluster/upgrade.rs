//! A new release of the chart, with other values, on its way over nodes that are in use.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use slipway_e2e::identity::Identity;
use slipway_e2e::nodeshim::Standing;
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
        let (mut before, mut digests) = (Vec::new(), Vec::new());
        for (index, scene) in stage.scenes.iter().enumerate() {
            let name = format!("{POD}-{index}");
            pods::create(client, &scene.ns, scene.ticker(&name, Runtime::Wasm)).await?;
            pods::until_ready(client, &scene.ns, &name).await?;
            let goal = goal(stage, &scene.worker.name).await?.context("no proof")?;
            let containerd = scene.worker.inside.containerd_pid().await?;
            before.push((Identity::of(scene, &name).await?, goal, containerd));
            digests.push(digest(stage, &scene.worker.name).await?);
        }

        // The same operator under another tag, and an installer that brings other bytes.
        let next = format!("{}-next", stage.settings.tag);
        for scene in &stage.scenes {
            let now = format!("slipway/operator:{}", stage.settings.tag);
            let name = format!("slipway/operator:{next}");
            scene.worker.inside.tag_image(&now, &name).await?;
        }
        let tags = [
            format!("image.tag={next}"),
            format!("installer.image.tag={next}"),
        ];
        helm::install_with(&stage.settings, &[CHANGE, &tags[0], &tags[1]]).await?;
        let nodes: Api<Node> = Api::all(client.clone());
        until("every node to have the change", PATIENCE, || async {
            for scene in &stage.scenes {
                let name = &scene.worker.name;
                ensure!(
                    provision::labelled(&nodes.get(name).await?),
                    "{name} has lost its labels"
                );
            }
            let now = Standing::of(client, "slipway").await?;
            ensure!(
                now.busy.len() <= 1,
                "changed at the same time: {:?}",
                now.busy
            );
            let each = stage.scenes.iter().zip(&before);
            let changed = each.filter(|(scene, (_, old, _))| {
                let goal = now.ready.get(&scene.worker.name);
                goal.is_some_and(|goal| goal != old)
            });
            let done = changed.count();
            Ok(if done == stage.scenes.len() {
                Ok(())
            } else {
                Err(format!("{done} are done, {:?} is being changed", now.busy))
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
        old_binaries_stay_as_long_as_their_pods(stage, &digests).await
    })
    .await
}

/// Each node has both versions, since its pod goes on with the one it began with; once the pods are gone and the first
/// release is back, there is no trace of the other.
async fn old_binaries_stay_as_long_as_their_pods(stage: &Stage, first: &[String]) -> Result<()> {
    for (index, (scene, first)) in stage.scenes.iter().zip(first).enumerate() {
        let (node, inside) = (&scene.worker.name, &scene.worker.inside);
        let second = digest(stage, node).await?;
        ensure!(second != *first, "{node}: the digest is still {first}");
        let mut both = [first.clone(), second.clone()];
        both.sort();
        let there = inside.payloads().await?;
        ensure!(there == both, "{node} has {there:?} and not {both:?}");

        let name = format!("{POD}-{index}");
        let pod = pods::until_ready(&stage.client, &scene.ns, &name).await?;
        let process = inside.process(pods::container_id(&pod)?).await?;
        let parent = format!("awk '/^PPid/ {{ print $2 }}' /proc/{}/status", process.pid);
        let shim = inside
            .bash(&format!("readlink /proc/$({parent})/exe"))
            .await?;
        ensure!(shim.contains(first), "{node}: the pod's shim is {shim}");
        scene.kubectl_ok(&["delete", "pod", &name]).await?;
        // That of a canary, which the kubelet takes its time to remove.
        let records = format!("ctr -n k8s.io containers ls | grep {second} || true");
        until(
            "the last record of the second to be gone",
            PATIENCE,
            || async {
                let records = inside.bash(&records).await?;
                Ok(if records.is_empty() {
                    Ok(())
                } else {
                    Err(format!("{node} has {records}"))
                })
            },
        )
        .await?;
    }
    helm::install(&stage.settings).await?;
    for (scene, first) in stage.scenes.iter().zip(first) {
        let node = &scene.worker.name;
        until("the first release to be back", PATIENCE, || async {
            let there = scene.worker.inside.payloads().await?;
            Ok(if there == [first.clone()] {
                Ok(())
            } else {
                Err(format!("{node} has {there:?}"))
            })
        })
        .await?;
    }
    shim::until_reason(
        &stage.client,
        "slipway",
        "Ready",
        "AllNodesReady",
        pods::PATIENCE,
    )
    .await
    .map(drop)
}

/// The digest of what stands on a node, as its `NodeShim` says.
async fn digest(stage: &Stage, node: &str) -> Result<String> {
    let found = nodeshim::get(&stage.client, node)
        .await?
        .context(node.to_owned())?;
    let digest = found.data["status"]["installed"]["digest"].as_str();
    digest.map(str::to_owned).context("no digest")
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
