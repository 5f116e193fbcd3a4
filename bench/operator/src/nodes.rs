//! Nodes as objects: as large as a kubelet makes them, and with its signs of life.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{Instant, interval_at};

/// Requests at a time.
const AT_ONCE: usize = 16;
/// Images that a node names; a kubelet names 50 at most (`nodeStatusMaxImages`).
const IMAGES: u32 = 50;
/// How often a kubelet writes a status in which nothing is new (`nodeStatusReportFrequency`). Its Lease, every ten
/// seconds, is nothing that the operator looks at.
const SIGN_OF_LIFE: Duration = Duration::from_secs(300);

/// A node's name.
pub(crate) fn name(index: u32) -> String {
    format!("node-{index:05}")
}

/// Makes so many of them, each of which asks for Wasm.
pub(crate) async fn make(client: &Client, count: u32) -> Result<()> {
    let api: &Api<Node> = &Api::all(client.clone());
    stream::iter((0..count).map(Ok::<_, anyhow::Error>))
        .try_for_each_concurrent(AT_ONCE, |index| async move {
            let node: Node = serde_json::from_value(node(&name(index)))?;
            api.create(&PostParams::default(), &node)
                .await
                .with_context(|| name(index))?;
            Ok(())
        })
        .await
}

/// Gives signs of life of all, spread evenly, until it is dropped.
pub(crate) async fn live(client: Client, count: u32) -> Result<()> {
    let api: Api<Node> = Api::all(client);
    let mut ticks = interval_at(Instant::now(), SIGN_OF_LIFE / count);
    let mut indices = stream::iter((0..count).cycle());
    while let Some(index) = indices.next().await {
        ticks.tick().await;
        let now = Timestamp::from_second(Timestamp::now().as_second())?;
        let sign = json!({"status": {"conditions": [{"type": "Ready", "lastHeartbeatTime": now}]}});
        api.patch_status(
            &name(index),
            &PatchParams::default(),
            &Patch::Strategic(sign),
        )
        .await
        .with_context(|| name(index))?;
    }
    Ok(())
}

fn node(name: &str) -> Value {
    let images = (0..IMAGES).map(|index| {
        let digest = format!("{index:064x}");
        json!({
            "names": [format!("registry.test/team/application-{index}@sha256:{digest}"), format!("registry.test/team/application-{index}:v1")],
            "sizeBytes": 50_000_000,
        })
    });
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_, "status": status, "reason": "KubeletSays", "message": "as the kubelet says",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let amounts =
        json!({"cpu": "4", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"});
    json!({
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": "a", "node.kubernetes.io/instance-type": "large",
            },
            "annotations": {"kwasm.sh/kwasm-node": "true"},
        },
        "status": {
            "capacity": amounts, "allocatable": amounts,
            "conditions": [
                condition("MemoryPressure", "False"), condition("DiskPressure", "False"),
                condition("PIDPressure", "False"), condition("Ready", "True"),
            ],
            "addresses": [{"type": "Hostname", "address": name}],
            "images": images.collect::<Vec<_>>(),
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "bootID": format!("boot-of-{name}"),
                "machineID": name, "systemUUID": name, "kernelVersion": "6.12.0", "osImage": "Debian GNU/Linux 13",
                "kubeletVersion": "v1.36.3", "kubeProxyVersion": "", "containerRuntimeVersion": "containerd://2.4.2",
            },
        },
    })
}
