//! A node that is not any more what the installer left: seen, told, and put right.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Event, Node};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use slipway_e2e::fault::{CONFIG, COPY, Fault};
use slipway_e2e::provision::{self, Input};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::untouched::Untouched;
use slipway_e2e::wait::until;
use slipway_e2e::{nodeshim, watcher};
use tokio::time::timeout;

/// From the damage until the node is proven again.
const WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn drift_is_seen_and_healed() -> Result<(), Failure> {
    let test = "drift_is_seen_and_healed";
    on_each_worker(test, Start::BareAlone, async |scene: &Scene| {
        let (client, node) = (&scene.client, scene.worker.name.as_str());
        let inside = &scene.worker.inside;
        let before = Untouched::of(inside).await?;
        let lost = Fault::lost(inside).await?;
        provision::request(client, node, Input::Annotation).await?;
        provision::until_ready(client, node).await?;

        let shim = installed(scene, "path").await?;
        // As a machine does whose configuration comes from a template. The `cat` keeps the file's mode.
        let regenerated = format!("cat {COPY} >{CONFIG}; systemctl restart containerd");
        // The lost drop-in is not the root file, which still imports its folder; 1.7 has none.
        let lost_drop_in = "find /etc/containerd -name 99-slipway.toml -delete".to_owned();
        // No shim at all, put in place as a package manager does.
        let other_shim = format!(
            "printf '#!/bin/sh\\nexit 1\\n' >{shim}.new; chmod 755 {shim}.new; mv {shim}.new {shim}"
        );
        let mut damages = vec![
            (
                regenerated,
                "config.toml has changed: after its next restart",
            ),
            (
                other_shim,
                "containerd-shim-slipway-v1 is not what was installed",
            ),
            (
                format!("rm {CONFIG}"),
                "config.toml is gone: after its next restart",
            ),
        ];
        if installed(scene, "method").await? == "dropIn" {
            damages.push((
                lost_drop_in,
                "99-slipway.toml is gone: after its next restart",
            ));
        }
        for (damage, words) in &damages {
            watcher::until_watching(client, node).await?;
            let heals = heals(scene, async || inside.bash(damage).await.map(drop));
            heals.await.with_context(|| format!("after: {damage}"))?;
            told(scene, words).await?;
        }
        // The end of this fault is another boot once more, so it lasts until the node is bare.
        let fault = heals(scene, async || Fault::another_boot(inside).await)
            .await
            .context("after a reboot")?;
        told(scene, "the node was rebooted").await?;

        provision::withdraw(client, node).await?;
        provision::until_bare(client, node).await?;
        drop((fault, lost));
        before.is_back(inside).await
    })
    .await
}

#[allow(
    clippy::print_stdout,
    reason = "how long it took is worth seeing with --nocapture"
)]
/// Does `damage`; the node must lose its labels, have them again within 30 s, and then run a Wasm pod.
async fn heals<T>(scene: &Scene, damage: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
    let (client, node) = (&scene.client, scene.worker.name.as_str());
    let nodes: Api<Node> = Api::all(client.clone());
    let since = nodes.get_metadata(node).await?;
    let since = since
        .resource_version()
        .context("a node without a version")?;
    let one = WatchParams::default().fields(&format!("metadata.name={node}"));
    let begun = Instant::now();
    let done = damage().await?;
    let mut seen = None;
    let mut versions = nodes.watch(&one, &since).await?.boxed();
    let healed = timeout(WITHIN.saturating_sub(begun.elapsed()), async {
        while let Some(event) = versions.next().await {
            match event? {
                WatchEvent::Added(node) | WatchEvent::Modified(node) => {
                    if !provision::labelled(&node) {
                        seen.get_or_insert_with(|| begun.elapsed());
                    } else if seen.is_some() {
                        return Ok(());
                    }
                }
                WatchEvent::Deleted(_) => bail!("the node is gone"),
                WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(status) => bail!("the watch ended: {status:?}"),
            }
        }
        bail!("the watch ended")
    });
    match healed.await {
        Ok(outcome) => outcome?,
        Err(_) => bail!(
            "not healed within {} s; the labels went after {seen:?}; {}",
            WITHIN.as_secs(),
            nodeshim::summary(client, node).await
        ),
    }
    println!(
        "{node}: seen after {:.1?}, healed after {:.1?}",
        seen.unwrap_or_default(),
        begun.elapsed()
    );
    scene.runs_a_job(&format!("after-{since}")).await?;
    Ok(done)
}

/// As `kubectl describe node` shows it.
async fn told(scene: &Scene, words: &str) -> Result<()> {
    let node = &scene.worker.name;
    let events: Api<Event> = Api::namespaced(scene.client.clone(), "default");
    let about = ListParams::default().fields(&format!(
        "involvedObject.kind=Node,involvedObject.name={node},reason=ProofLost"
    ));
    until(&format!("an event that says {words:?}"), WITHIN, || async {
        let found = events.list(&about).await?.items;
        let mut notes = found.iter().filter_map(|event| event.message.as_deref());
        if notes.any(|note| note.contains(words)) {
            return Ok(Ok(()));
        }
        let all: Vec<_> = found.iter().map(|event| &event.message).collect();
        Ok(Err(format!("{all:?}")))
    })
    .await
}

/// What the operator knows of the install.
async fn installed(scene: &Scene, field: &str) -> Result<String> {
    let found = nodeshim::get(&scene.client, &scene.worker.name).await?;
    let status = found.context("there is no NodeShim")?.data["status"].clone();
    let value = status["installed"][field].as_str();
    Ok(value
        .with_context(|| format!("no {field} in {status}"))?
        .to_owned())
}
