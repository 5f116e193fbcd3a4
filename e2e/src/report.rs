//! What a person needs to see when a test failed on a node.

use std::fmt::Write;

use anyhow::Result;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, Client};
use serde_json::Value;

use crate::cluster::Worker;
use crate::names;
use crate::nodeshim;

const LOG_LINES: i64 = 40;
const JOURNAL_LINES: usize = 60;

/// Pods, events, the installer's report, the `NodeShim`, and the node's journals, as far as they can be had.
pub async fn of(client: &Client, worker: &Worker, ns: &str) -> String {
    let node = &worker.name;
    let mut text = format!("\n======== {node} ({}) ========\n", worker.runtime);
    section(&mut text, "NodeShim", nodeshim(client, node).await);
    section(
        &mut text,
        "node labels and annotations",
        meta(client, node).await,
    );
    section(
        &mut text,
        "events on the node",
        events(client, "default", Some(node)).await,
    );
    section(
        &mut text,
        &format!("pods in {ns}"),
        pods(client, ns, None).await,
    );
    section(
        &mut text,
        &format!("events in {ns}"),
        events(client, ns, None).await,
    );
    let own = names::NAMESPACE;
    section(
        &mut text,
        &format!("pods in {own}"),
        pods(client, own, Some(node)).await,
    );
    section(
        &mut text,
        &format!("events in {own}"),
        events(client, own, None).await,
    );
    for unit in ["containerd", "kubelet"] {
        let journal = worker.inside.journal(unit, JOURNAL_LINES).await;
        section(&mut text, &format!("journal of {unit}"), journal);
    }
    text
}

fn section(text: &mut String, title: &str, body: Result<String>) {
    let body = body.unwrap_or_else(|error| format!("not to be had: {error:#}"));
    // Writing to a String cannot fail.
    let _ = writeln!(text, "---- {title}\n{}", body.trim_end());
}

async fn nodeshim(client: &Client, node: &str) -> Result<String> {
    Ok(match nodeshim::get(client, node).await? {
        Some(object) => serde_json::to_string_pretty(&object.data)?,
        None => "none".to_owned(),
    })
}

async fn meta(client: &Client, node: &str) -> Result<String> {
    let node = Api::<Node>::all(client.clone()).get(node).await?;
    let ours = |key: &str| {
        ["kwasm", "slipway", "wasm"]
            .iter()
            .any(|word| key.contains(word))
    };
    let lines: Vec<String> = node
        .metadata
        .labels
        .iter()
        .chain(node.metadata.annotations.iter())
        .flatten()
        .filter(|(key, _)| ours(key))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    Ok(lines.join("\n"))
}

async fn events(client: &Client, ns: &str, node: Option<&str>) -> Result<String> {
    let events: Api<Event> = Api::namespaced(client.clone(), ns);
    let found = events.list(&ListParams::default()).await?;
    let lines: Vec<String> = found
        .iter()
        .filter(|event| node.is_none() || event.involved_object.name.as_deref() == node)
        .map(|event| {
            format!(
                "{} {}/{} {}: {}",
                event.type_.as_deref().unwrap_or_default(),
                event.involved_object.kind.as_deref().unwrap_or_default(),
                event.involved_object.name.as_deref().unwrap_or_default(),
                event.reason.as_deref().unwrap_or_default(),
                event.message.as_deref().unwrap_or_default(),
            )
        })
        .collect();
    Ok(lines.join("\n"))
}

/// Pods with their state and the end of their logs. An installer's report is its termination message, so it
/// is part of the state. With a node, pods of other nodes that were bound to one are left out.
pub(crate) async fn pods(client: &Client, ns: &str, node: Option<&str>) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), ns);
    let mut text = String::new();
    for pod in pods.list(&ListParams::default()).await? {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let place = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let is_operator = name.contains("operator");
        if node.is_some() && place.as_deref() != node && !is_operator {
            continue;
        }
        let status = serde_json::to_value(&pod.status)?;
        writeln!(
            text,
            "{name} on {place:?}: {} {}",
            status["phase"], status["message"]
        )?;
        for container in status["containerStatuses"].as_array().into_iter().flatten() {
            writeln!(
                text,
                "  {}: {} restarts",
                container["name"], container["restartCount"]
            )?;
            for state in ["state", "lastState"] {
                writeln!(text, "    {state}: {}", container[state])?;
            }
        }
        if status["containerStatuses"] == Value::Null {
            writeln!(text, "  conditions: {}", status["conditions"])?;
            continue;
        }
        let params = LogParams {
            tail_lines: Some(LOG_LINES),
            ..LogParams::default()
        };
        match pods.logs(&name, &params).await {
            Ok(log) => log
                .lines()
                .try_for_each(|line| writeln!(text, "    | {line}"))?,
            Err(error) => writeln!(text, "    no log: {error}")?,
        }
    }
    Ok(text)
}
