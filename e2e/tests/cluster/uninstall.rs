//! `helm uninstall` with nodes that run Wasm.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::Api;
use kube::api::ListParams;
use slipway_e2e::provision::{self, Input};
use slipway_e2e::scene::{Failure, Start};
use slipway_e2e::stage::{Stage, on_all_workers};
use slipway_e2e::untouched::Untouched;
use slipway_e2e::{cluster, helm, nodeshim, shim};

#[tokio::test]
async fn helm_uninstall_leaves_nodes_as_they_were() -> Result<(), Failure> {
    let test = "helm_uninstall_leaves_nodes_as_they_were";
    on_all_workers(test, Start::BareAlone, async |stage: &Stage| {
        let client = &stage.client;
        let mut before = Vec::new();
        for scene in &stage.scenes {
            let inside = &scene.worker.inside;
            before.push(Untouched::of(inside).await?);
        }
        for scene in &stage.scenes {
            provision::request(client, &scene.worker.name, Input::Annotation).await?;
        }
        for (index, scene) in stage.scenes.iter().enumerate() {
            provision::until_ready(client, &scene.worker.name).await?;
            scene.runs_a_job(&format!("used-{index}")).await?;
        }

        helm::uninstall(&stage.settings).await?;

        let nodes: Api<Node> = Api::all(client.clone());
        for (scene, before) in stage.scenes.iter().zip(&before) {
            let (name, inside) = (&scene.worker.name, &scene.worker.inside);
            let labels = provision::our_labels(&nodes.get(name).await?);
            ensure!(labels.is_empty(), "{name} still has {labels:?}");
            let left = nodeshim::get(client, name).await?;
            ensure!(left.is_none(), "{name} still has a NodeShim");
            before.is_back(inside).await.context(name.clone())?;
            inside.containerd_answers().await?;
        }
        let shims = shim::api(client).list(&ListParams::default()).await?.items;
        ensure!(shims.is_empty(), "Shims are left: {shims:?}");
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=slipway-operator");
        let classes = Api::<RuntimeClass>::all(client.clone()).list(&ours).await?;
        ensure!(
            classes.items.is_empty(),
            "RuntimeClasses are left: {classes:?}"
        );

        // The request on the nodes is the user's and stands: installed again, they get Wasm again.
        helm::install(&stage.settings).await?;
        cluster::operator_ready(client).await?;
        for scene in &stage.scenes {
            provision::until_ready(client, &scene.worker.name).await?;
        }
        helm::test(&stage.settings).await
    })
    .await
}
