//! The way a node becomes one that runs Wasm, watched from the outside.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use futures::stream::{BoxStream, select};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use slipway_e2e::names;
use slipway_e2e::provision::{self, Input};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::wait::until;
use tokio::time::timeout;

#[tokio::test]
async fn annotate_labels_only_after_canary() -> Result<(), Failure> {
    on_each_worker(
        "annotate_labels_only_after_canary",
        Start::BareAlone,
        async |scene: &Scene| {
            let (client, node) = (&scene.client, scene.worker.name.as_str());
            let canaries: Api<Pod> = Api::namespaced(client.clone(), names::NAMESPACE);
            let since = canaries.list_metadata(&ListParams::default()).await?;
            let since = since
                .metadata
                .resource_version
                .context("a list without a version")?;

            let asked = provision::request(client, node, Input::Annotation).await?;
            ensure!(
                provision::our_labels(&asked).is_empty(),
                "a bare node carries our labels"
            );

            let seen = sightings(scene, &asked, &since).await?;
            let order = timeout(provision::PATIENCE, first_of_each(seen))
                .await
                .context("no canary, or no label after it")??;
            // One etcd gives both kinds their versions, so versions tell what came first.
            ensure!(
                order.canary < order.label,
                "the canary succeeded at version {}, but a label was there at {}",
                order.canary,
                order.label
            );

            provision::until_ready(client, node).await?;
            runtime_class_selects_ready_nodes(scene).await?;
            node_tells_it_is_ready(scene).await?;

            scene.runs_a_job("after").await
        },
    )
    .await
}

/// Something that matters here, and etcd's version of it.
enum Sighting {
    CanarySucceeded(u64),
    Labelled(u64),
}

struct Order {
    canary: u64,
    label: u64,
}

/// Every version of the node and of canary pods on it, from the request on.
async fn sightings(
    scene: &Scene,
    asked: &Node,
    since: &str,
) -> Result<BoxStream<'static, Result<Sighting>>> {
    let name = scene.worker.name.clone();
    let nodes: Api<Node> = Api::all(scene.client.clone());
    let one = WatchParams::default().fields(&format!("metadata.name={name}"));
    let from = asked
        .resource_version()
        .context("a node without a version")?;
    let labelled = nodes.watch(&one, &from).await?.filter_map(|event| async {
        let node = match object(event) {
            Ok(node) => node?,
            Err(error) => return Some(Err(error)),
        };
        (!provision::our_labels(&node).is_empty()).then(|| version(&node).map(Sighting::Labelled))
    });

    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), names::NAMESPACE);
    let canaries = WatchParams::default()
        .labels("app.kubernetes.io/component=canary")
        .fields(&format!("spec.nodeName={name}"));
    let succeeded = pods
        .watch(&canaries, since)
        .await?
        .filter_map(|event| async {
            let pod = match object(event) {
                Ok(pod) => pod?,
                Err(error) => return Some(Err(error)),
            };
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            (phase == Some("Succeeded")).then(|| version(&pod).map(Sighting::CanarySucceeded))
        });
    Ok(select(labelled.boxed(), succeeded.boxed()).boxed())
}

fn object<K>(event: Result<WatchEvent<K>, kube::Error>) -> Result<Option<K>> {
    Ok(match event? {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => Some(object),
        WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => None,
        WatchEvent::Error(status) => bail!("the watch ended: {status:?}"),
    })
}

fn version(object: &impl ResourceExt) -> Result<u64> {
    Ok(object
        .resource_version()
        .context("an object without a version")?
        .parse()?)
}

/// Reads until both were seen. Streams of two kinds may run at different speeds, hence no look at the order
/// of arrival.
async fn first_of_each(mut seen: BoxStream<'static, Result<Sighting>>) -> Result<Order> {
    let (mut canary, mut label) = (None, None);
    while let Some(sighting) = seen.next().await {
        match sighting? {
            Sighting::CanarySucceeded(version) => canary = canary.or(Some(version)),
            Sighting::Labelled(version) => label = label.or(Some(version)),
        }
        if let (Some(canary), Some(label)) = (canary, label) {
            return Ok(Order { canary, label });
        }
    }
    bail!("the watches ended early: canary {canary:?}, label {label:?}")
}

async fn runtime_class_selects_ready_nodes(scene: &Scene) -> Result<()> {
    let classes: Api<RuntimeClass> = Api::all(scene.client.clone());
    let class = classes.get(names::RUNTIME_CLASS).await?;
    let selector = class
        .scheduling
        .and_then(|scheduling| scheduling.node_selector);
    let selected = selector.unwrap_or_default().get(names::READY).cloned();
    ensure!(
        class.handler == names::RUNTIME_CLASS,
        "handler {}",
        class.handler
    );
    ensure!(
        selected.as_deref() == Some("ready"),
        "the class selects {selected:?}"
    );
    Ok(())
}

/// As `kubectl describe node` shows it.
async fn node_tells_it_is_ready(scene: &Scene) -> Result<()> {
    let node = &scene.worker.name;
    let events: Api<Event> = Api::namespaced(scene.client.clone(), "default");
    let about = ListParams::default().fields(&format!(
        "involvedObject.kind=Node,involvedObject.name={node},reason=WasmReady"
    ));
    until("an event on the node", Duration::from_secs(30), || async {
        let found = events.list(&about).await?.items;
        Ok(if found.is_empty() {
            Err("none".to_owned())
        } else {
            Ok(())
        })
    })
    .await
}
