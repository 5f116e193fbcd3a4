//! Asking for Wasm on a node, and taking the request back, the way a user does.

use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::names;
use crate::nodeshim;
use crate::wait::until;

/// An install or uninstall restarts containerd and runs two pods; on two shared cores that takes its time.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// Where the user writes the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// `kubectl annotate node N kwasm.sh/kwasm-node=true`
    Annotation,
    /// `kubectl label node N kwasm.sh/kwasm-node=true`
    Label,
}

/// Writes the request on the node.
///
/// # Errors
/// When the API server refuses.
pub async fn request(client: &Client, node: &str, input: Input) -> Result<Node> {
    let place = match input {
        Input::Annotation => "annotations",
        Input::Label => "labels",
    };
    let patch = json!({ "metadata": { place: { names::WANTED: "true" } } });
    let nodes: Api<Node> = Api::all(client.clone());
    Ok(nodes
        .patch(node, &PatchParams::default(), &Patch::Merge(&patch))
        .await?)
}

/// Takes the request back, wherever it stood.
///
/// # Errors
/// When the API server refuses.
pub async fn withdraw(client: &Client, node: &str) -> Result<()> {
    let gone = json!({ names::WANTED: null });
    let patch = json!({ "metadata": { "annotations": gone, "labels": gone } });
    let nodes: Api<Node> = Api::all(client.clone());
    nodes
        .patch(node, &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    Ok(())
}

/// Waits until the node carries every label of a node that runs Wasm.
///
/// # Errors
/// When it does not in time; how the operator sees it is in the message.
pub async fn until_ready(client: &Client, node: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    until(&format!("Wasm on {node}"), PATIENCE, || async {
        if labelled(&nodes.get(node).await?) {
            return Ok(Ok(()));
        }
        Ok(Err(nodeshim::summary(client, node).await))
    })
    .await
}

/// Requests Wasm on the node if it is not there yet, and waits for it.
///
/// # Errors
/// As [`until_ready`].
pub async fn ensure_ready(client: &Client, node: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let found = nodes.get(node).await?;
    if !requested(&found) {
        request(client, node, Input::Annotation).await?;
    }
    until_ready(client, node).await
}

/// Waits until the node has none of our labels and the operator has nothing to say about it any more.
///
/// # Errors
/// When that does not come in time.
pub async fn until_bare(client: &Client, node: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    until(&format!("{node} without Wasm"), PATIENCE, || async {
        let left = our_labels(&nodes.get(node).await?);
        if !left.is_empty() {
            return Ok(Err(format!("labels {left:?}")));
        }
        Ok(match nodeshim::get(client, node).await? {
            None => Ok(()),
            Some(_) => Err(nodeshim::summary(client, node).await),
        })
    })
    .await
}

/// Takes any request back, ends the Wasm pods that earlier runs left on the node, and waits for it to be as
/// before any install.
///
/// # Errors
/// As [`until_bare`].
pub async fn ensure_bare(client: &Client, node: &str) -> Result<()> {
    withdraw(client, node).await?;
    let everywhere: Api<Pod> = Api::all(client.clone());
    let here = ListParams::default().fields(&format!("spec.nodeName={node}"));
    for pod in everywhere.list(&here).await? {
        let uses = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.runtime_class_name.as_deref());
        let (Some(names::RUNTIME_CLASS), Some(ns), Some(name)) = (
            uses,
            pod.metadata.namespace.as_deref(),
            pod.metadata.name.as_deref(),
        ) else {
            continue;
        };
        let pods: Api<Pod> = Api::namespaced(client.clone(), ns);
        match pods
            .delete(name, &DeleteParams::default().grace_period(1))
            .await
        {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => bail!(error),
        }
    }
    until_bare(client, node).await
}

/// True when the node carries every label of a node that runs Wasm.
#[must_use]
pub fn labelled(node: &Node) -> bool {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let labels = node.metadata.labels.clone().unwrap_or_default();
    names::ready_labels(name)
        .iter()
        .all(|(key, value)| labels.get(*key) == Some(value))
}

/// Those of our labels the node carries, whatever their value.
#[must_use]
pub fn our_labels(node: &Node) -> Vec<String> {
    let labels = node.metadata.labels.clone().unwrap_or_default();
    names::ready_labels("")
        .iter()
        .filter_map(|(key, _)| labels.get(*key).map(|value| format!("{key}={value}")))
        .collect()
}

fn requested(node: &Node) -> bool {
    let meta = &node.metadata;
    meta.annotations
        .iter()
        .chain(meta.labels.iter())
        .any(|map| map.get(names::WANTED).is_some_and(|value| value == "true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(labels: &[(&str, &str)]) -> Node {
        let mut node = Node::default();
        node.metadata.name = Some("n".to_owned());
        node.metadata.labels = Some(
            labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        );
        node
    }

    #[test]
    fn all_three_labels_make_a_ready_node() {
        let all = [
            (names::PROVISIONED, "n"),
            (names::WASM, "true"),
            (names::READY, "ready"),
        ];
        assert!(labelled(&node(&all)));
        for missing in 0..all.len() {
            let mut some = all.to_vec();
            some.remove(missing);
            assert!(!labelled(&node(&some)));
            assert_eq!(our_labels(&node(&some)).len(), 2);
        }
        assert!(!labelled(&node(&[
            (names::PROVISIONED, "m"),
            all[1],
            all[2]
        ])));
    }
}
