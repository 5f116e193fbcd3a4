//! A node whose containerd configuration is broken, or cannot be written, is left as it is.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use slipway_e2e::events;
use slipway_e2e::fault::Fault;
use slipway_e2e::nodeshim;
use slipway_e2e::provision::{self, Input};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::wait::until;

/// The event of a refusal.
const EVENT: &str = "InstallRefused";

#[tokio::test]
async fn broken_config_is_left_alone() -> Result<(), Failure> {
    on_each_worker(
        "broken_config_is_left_alone",
        Start::BareAlone,
        async |scene: &Scene| {
            let inside = &scene.worker.inside;
            let sound = inside.tree().await?;

            let unparsable = Fault::unparsable(inside).await?;
            // containerd's own words, which say where: "(14, 2)" or "row 14 column 2".
            refused(scene, &["config.toml", "toml: "])
                .await
                .context("with a file that is no TOML")?;
            drop(unparsable);

            let read_only = Fault::read_only(inside).await?;
            refused(scene, &["/etc/containerd", "read-only"])
                .await
                .context("with a read-only file system")?;
            drop(read_only);

            let changes = sound.changes(&inside.tree().await?);
            ensure!(changes.is_empty(), "the faults are mended, yet:\n{changes}");
            Ok(())
        },
    )
    .await
}

/// Asks for Wasm; it must be refused with these words, whatever their case, in the status and on the node,
/// and change nothing.
async fn refused(scene: &Scene, words: &[&str]) -> Result<()> {
    let (client, node) = (&scene.client, scene.worker.name.as_str());
    let inside = &scene.worker.inside;
    let before = inside.tree().await?;
    let containerd = inside.containerd_pid().await?;
    let told = events::warnings(scene, EVENT).await?.len();
    provision::request(client, node, Input::Annotation).await?;

    let (reason, message) = until("a refusal", provision::PATIENCE, || async {
        let Some(found) = nodeshim::get(client, node).await? else {
            return Ok(Err("there is no NodeShim".to_owned()));
        };
        let outcome = &found.data["status"]["lastReport"]["outcome"];
        Ok(match nodeshim::condition(&found, "Ready") {
            Some((status, reason, message)) if status == "False" && outcome == "refused" => {
                Ok((reason, message))
            }
            _ => Err(nodeshim::summary(client, node).await),
        })
    })
    .await?;
    for word in words {
        ensure!(
            message.to_lowercase().contains(word),
            "no {word:?} in the status: {reason}: {message}"
        );
    }
    events::until_warned(scene, EVENT, told, words).await?;

    let now = Api::<Node>::all(client.clone()).get(node).await?;
    let labels = provision::our_labels(&now);
    ensure!(
        labels.is_empty(),
        "a node that was refused is labelled: {labels:?}"
    );
    let changes = before.changes(&inside.tree().await?);
    ensure!(
        changes.is_empty(),
        "the installer refused, and changed:\n{changes}"
    );
    ensure!(
        inside.containerd_pid().await? == containerd,
        "containerd was restarted"
    );
    inside.containerd_answers().await?;

    provision::withdraw(client, node).await?;
    provision::until_bare(client, node).await
}
