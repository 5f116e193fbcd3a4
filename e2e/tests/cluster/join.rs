//! Nodes that come, go, and are replaced under their name.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use slipway_e2e::membership::Absent;
use slipway_e2e::provision::{self, Input, PATIENCE};
use slipway_e2e::scene::{Failure, Scene, Start, on_one_worker};
use slipway_e2e::untouched::Untouched;
use slipway_e2e::wait::until;
use slipway_e2e::{names, nodeshim, shim};

const SHIM: &str = "e2e-join";
/// How soon a node that is gone is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_node_that_joins_gets_wasm() -> Result<(), Failure> {
    let test = "a_node_that_joins_gets_wasm";
    on_one_worker(test, Start::BareAlone, 0, async |scene: &Scene| {
        let client = &scene.client;
        shim::delete(client, SHIM, PATIENCE).await?;
        let before = Untouched::of(&scene.worker.inside).await?;
        let outcome = joins_twice(scene).await;
        // Also after a failure: the next test must not find it.
        let gone = shim::delete(client, SHIM, PATIENCE).await;
        outcome?;
        gone?;
        before.is_back(&scene.worker.inside).await
    })
    .await
}

async fn joins_twice(scene: &Scene) -> Result<()> {
    let (client, node) = (&scene.client, scene.worker.name.as_str());
    let absent = Absent::of(client, &scene.worker).await?;
    shim::apply(client, SHIM, &shim::bundled(node, SHIM)).await?;
    shim::until_reason(client, SHIM, "Ready", "NoNodes", FORGOTTEN).await?;
    let uid = absent.rejoin().await?;
    let first = runs_on(scene, &uid, "joined").await?;

    // Another machine under the same name, with what the old one had on its disk.
    let absent = Absent::of(client, &scene.worker).await?;
    forgotten(scene, SHIM, &first).await?;
    let uid = absent.rejoin().await?;
    let second = runs_on(scene, &uid, "replaced").await?;
    ensure!(first != second, "the NodeShim of the old node was kept");
    Ok(())
}

/// Waits until the node of this UID is proven and labelled, and runs a pod there. Returns its `NodeShim`'s UID.
async fn runs_on(scene: &Scene, uid: &str, pod_name: &str) -> Result<String> {
    let (client, node) = (&scene.client, scene.worker.name.as_str());
    let nodes: Api<Node> = Api::all(client.clone());
    let label = format!("slipway.dev/{SHIM}");
    let object = until(&format!("{SHIM} on {node}"), PATIENCE, || async {
        let Some(object) = nodeshim::get_of(client, node, SHIM).await? else {
            return Ok(Err("there is no NodeShim".to_owned()));
        };
        let status = &object.data["status"];
        let proven = status["nodeUID"] == uid && status["phase"] == "Ready";
        let labels = nodes.get(node).await?.metadata.labels.unwrap_or_default();
        Ok(
            if proven && labels.get(&label).is_some_and(|value| value == "ready") {
                Ok(object)
            } else {
                Err(format!("{status}"))
            },
        )
    })
    .await?;
    scene.runs_a_job_by(SHIM, pod_name).await?;
    object.metadata.uid.context("a NodeShim without a UID")
}

/// Waits until the `NodeShim` of this UID is gone: its finalizer must be let go, since nobody can clean that node.
async fn forgotten(scene: &Scene, shim: &str, uid: &str) -> Result<()> {
    let (client, node) = (&scene.client, scene.worker.name.as_str());
    until(
        &format!("{node}.{shim} to be forgotten"),
        FORGOTTEN,
        || async {
            Ok(match nodeshim::get_of(client, node, shim).await? {
                Some(object) if object.metadata.uid.as_deref() == Some(uid) => {
                    Err(format!("{:?} {}", object.metadata, object.data["status"]))
                }
                _ => Ok(()),
            })
        },
    )
    .await
}

#[tokio::test]
async fn a_node_that_goes_mid_job_comes_back_whole() -> Result<(), Failure> {
    let test = "a_node_that_goes_mid_job_comes_back_whole";
    on_one_worker(test, Start::BareAlone, 1, async |scene: &Scene| {
        let (client, node) = (&scene.client, scene.worker.name.as_str());
        let inside = &scene.worker.inside;
        let before = Untouched::of(inside).await?;
        provision::request(client, node, Input::Annotation).await?;
        // From the first record of its transaction on the installer is at work; nobody will hear how it ends.
        inside
            .bash(
                "for _ in $(seq 900); do\n\
                   if [ -e /var/lib/slipway/journal/open.json ]; then systemctl stop kubelet; exit 0; fi\n\
                   sleep 0.05\n\
                 done\n\
                 echo no installer >&2; exit 1",
            )
            .await?;
        let absent = Absent::of(client, &scene.worker).await?;
        let found = nodeshim::get(client, node).await?;
        let job = match &found {
            Some(object) => {
                forgotten(scene, "slipway", object.metadata.uid.as_deref().unwrap_or_default())
                    .await?;
                object.data["status"]["transaction"]["job"].as_str().map(str::to_owned)
            }
            // Forgotten before one could look.
            None => None,
        };
        if let Some(job) = job {
            let jobs: Api<Job> = Api::namespaced(client.clone(), names::NAMESPACE);
            until(&format!("Job {job} to be gone"), FORGOTTEN, || async {
                let found = jobs.get_opt(&job).await?;
                Ok(found.map_or(Ok(()), |job| Err(format!("{:?}", job.status))))
            })
            .await?;
        }

        absent.rejoin().await?;
        let labels = provision::our_labels(&Api::<Node>::all(client.clone()).get(node).await?);
        ensure!(labels.is_empty(), "a node that asks for nothing is labelled: {labels:?}");
        provision::request(client, node, Input::Annotation).await?;
        provision::until_ready(client, node).await?;
        scene.runs_a_job("after").await?;

        provision::withdraw(client, node).await?;
        provision::until_bare(client, node).await?;
        before.is_back(inside).await
    })
    .await
}
