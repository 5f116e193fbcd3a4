//! A handler that is not asked for any more, while a pod runs through it.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::Api;
use serde_json::{Value, json};
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::untouched::Untouched;
use slipway_e2e::wait::until;
use slipway_e2e::{nodeshim, provision, shim};

const POD: &str = "goes-on";

#[tokio::test]
async fn a_dropped_handler_stays_for_its_pods() -> Result<(), Failure> {
    let test = "a_dropped_handler_stays_for_its_pods";
    on_each_worker(test, Start::BareAlone, async |scene: &Scene| {
        let name = format!("e2e-old-{}", scene.worker.name);
        shim::delete(&scene.client, &name, provision::PATIENCE).await?;
        let before = Untouched::of(&scene.worker.inside).await?;
        let outcome = scenario(scene, &name).await;
        // Also after a failure: the next test must find neither.
        let gone = async {
            scene
                .kubectl_ok(&["delete", "pod", POD, "--ignore-not-found"])
                .await?;
            shim::delete(&scene.client, &name, provision::PATIENCE).await
        }
        .await;
        outcome?;
        gone?;
        before.is_back(&scene.worker.inside).await
    })
    .await
}

async fn scenario(scene: &Scene, old: &str) -> Result<()> {
    let (client, node) = (&scene.client, &*scene.worker.name);
    shim::apply(client, old, &shim::bundled(node, old)).await?;
    until_proven(scene, old, old).await?;
    let mut pod = scene.ticker(POD, Runtime::Wasm);
    pod["spec"]["runtimeClassName"] = old.into();
    pod["spec"]["restartPolicy"] = "Always".into();
    pods::create(client, &scene.ns, pod).await?;
    let pod = pods::until_ready(client, &scene.ns, POD).await?;

    let new = format!("e2e-new-{node}");
    shim::apply(client, old, &shim::bundled(node, &new)).await?;
    let status = until_proven(scene, old, &new).await?;
    let notes = status["lastReport"]["notes"].to_string();
    ensure!(
        notes.contains(old) && notes.contains(POD),
        "nobody is told that {old} stays for {POD}: {notes}"
    );
    scene.runs_a_job_by(&new, "by-the-new-one").await?;

    until(
        "its RuntimeClass to take no more",
        pods::PATIENCE,
        || async {
            let class: RuntimeClass = Api::all(client.clone()).get(old).await?;
            let selector = class
                .scheduling
                .and_then(|scheduling| scheduling.node_selector);
            Ok(match selector {
                Some(selector) if selector.contains_key("slipway.dev/retired") => Ok(()),
                other => Err(format!("it selects {other:?}")),
            })
        },
    )
    .await?;

    // The container is made again, in the pod that there is, through the handler that is not asked for any more.
    let process = scene
        .worker
        .inside
        .process(pods::container_id(&pod)?)
        .await?;
    let kill = format!("kill -KILL {}", process.pid);
    scene.worker.inside.bash(&kill).await?;
    until(
        "the container to be started again",
        pods::PATIENCE,
        || async {
            let pod = pods::until_ready(client, &scene.ns, POD).await?;
            let status = pods::status(&pod).context("no container status")?;
            Ok(if status.restart_count > 0 {
                Ok(())
            } else {
                Err(format!("{:?}", status.state))
            })
        },
    )
    .await?;
    pods::until_says_more(client, &scene.ns, POD, 0).await
}

/// Waits until a Wasm pod has run through this handler, and returns the `NodeShim`'s status.
async fn until_proven(scene: &Scene, name: &str, handler: &str) -> Result<Value> {
    let proven = |status: &Value| status["proof"]["handlers"] == json!([handler]);
    nodeshim::until_ready(&scene.client, &scene.worker.name, name, proven).await
}
