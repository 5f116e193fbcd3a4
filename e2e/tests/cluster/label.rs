//! The label instead of the annotation, as `kubectl label node N kwasm.sh/kwasm-node=true`.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use slipway_e2e::provision::{self, Input};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};

#[tokio::test]
async fn label_path() -> Result<(), Failure> {
    on_each_worker("label_path", Start::BareAlone, async |scene: &Scene| {
        let (client, node) = (&scene.client, scene.worker.name.as_str());
        let asked = provision::request(client, node, Input::Label).await?;
        ensure!(
            !asked
                .metadata
                .annotations
                .iter()
                .flatten()
                .any(|(key, _)| key.contains("kwasm")),
            "the node carries the annotation too, so the label proves nothing"
        );
        provision::until_ready(client, node).await?;

        scene.runs_a_job("by-label").await?;

        provision::withdraw(client, node).await?;
        provision::until_bare(client, node).await?;
        let left = provision::our_labels(&Api::<Node>::all(client.clone()).get(node).await?);
        ensure!(left.is_empty(), "labels are left: {left:?}");
        Ok(())
    })
    .await
}
