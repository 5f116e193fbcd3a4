//! A node whose containerd configuration is broken, or cannot be written, is left as it is.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Node};
use kube::Api;
use kube::api::ListParams;
use slipway_e2e::fault::Fault;
use slipway_e2e::nodeshim;
use slipway_e2e::provision::{self, Input};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::wait::until;

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
    let told = events(scene).await?.len();
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
    until("an event on the node", Duration::from_secs(30), || async {
        let all = events(scene).await?;
        let new = all.len() > told;
        let fits = |note: &String| words.iter().all(|word| note.to_lowercase().contains(word));
        Ok(if new && all.iter().any(fits) {
            Ok(())
        } else {
            Err(format!("{all:?}"))
        })
    })
    .await?;

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

/// What was refused on this node so far, one entry each time it was said.
async fn events(scene: &Scene) -> Result<Vec<String>> {
    let events: Api<Event> = Api::namespaced(scene.client.clone(), "default");
    let about = ListParams::default().fields(&format!(
        "involvedObject.kind=Node,involvedObject.name={},reason=InstallRefused,type=Warning",
        scene.worker.name
    ));
    let mut said = Vec::new();
    for event in events.list(&about).await? {
        let series = event
            .series
            .as_ref()
            .and_then(|series| series.count)
            .unwrap_or(1);
        let times = event.count.unwrap_or(0).max(series).max(1);
        let note = event.message.unwrap_or_default();
        said.extend((0..times).map(|_| note.clone()));
    }
    Ok(said)
}
