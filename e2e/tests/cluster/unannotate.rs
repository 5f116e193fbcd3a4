//! Taking Wasm off a node again leaves nothing.

use anyhow::{Result, ensure};
use slipway_e2e::fault::CONFIG;
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::provision::{self, Input};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::untouched::Untouched;

#[tokio::test]
async fn unannotate_restores_every_byte() -> Result<(), Failure> {
    on_each_worker(
        "unannotate_restores_every_byte",
        Start::BareAlone,
        async |scene: &Scene| {
            let (client, node) = (&scene.client, scene.worker.name.as_str());
            let inside = &scene.worker.inside;
            let before = Untouched::of(inside).await?;
            ensure!(
                before.tree.holds(CONFIG),
                "the snapshot does not hold {CONFIG}"
            );

            provision::request(client, node, Input::Annotation).await?;
            provision::until_ready(client, node).await?;
            let during = inside.tree().await?;
            for path in ["/opt/slipway", "/var/lib/slipway"] {
                ensure!(during.holds(path), "installed, yet there is no {path}");
            }
            // Code compiled for a guest is a byte on the node, too.
            scene.runs_a_job("used").await?;

            provision::withdraw(client, node).await?;
            provision::until_bare(client, node).await?;
            before.is_back(inside).await?;

            // And it is a node like any other: containerd answers, native pods run.
            inside.containerd_answers().await?;
            pods::create(client, &scene.ns, scene.ticker("native", Runtime::Native)).await?;
            pods::until_ready(client, &scene.ns, "native").await?;
            Ok(())
        },
    )
    .await
}
