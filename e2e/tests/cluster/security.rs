//! What a pod's security fields make of the process that runs its guest, seen from the node.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};

#[tokio::test]
async fn a_restricted_pod_runs_with_nothing_to_spare() -> Result<(), Failure> {
    let test = "a_restricted_pod_runs_with_nothing_to_spare";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        let mut pod = scene.ticker("restricted", Runtime::Wasm);
        pod["spec"]["securityContext"] = json!({
            "runAsNonRoot": true,
            "runAsUser": 4321,
            "runAsGroup": 4322,
            "supplementalGroups": [4323],
            "seccompProfile": { "type": "RuntimeDefault" },
        });
        pod["spec"]["containers"][0]["securityContext"] = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        });
        let status = process(scene, "restricted", pod).await?;
        for (field, wanted) in [
            ("Uid", "4321\t4321\t4321\t4321"),
            ("Gid", "4322\t4322\t4322\t4322"),
            ("Groups", "4322 4323"),
            ("CapEff", "0000000000000000"),
            ("CapBnd", "0000000000000000"),
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
        ] {
            let found = status.get(field).map(String::as_str);
            ensure!(
                found == Some(wanted),
                "{field}: {found:?}, expected {wanted:?}"
            );
        }
        let written = scene
            .kubectl(
                &["exec", "restricted", "--", "sh", "-c", "echo x >/file"],
                "",
            )
            .await?;
        ensure!(!written.ok, "the root file system could be written to");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn pods_share_the_namespaces_they_ask_for() -> Result<(), Failure> {
    let test = "pods_share_the_namespaces_they_ask_for";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        let mut host = scene.ticker("host", Runtime::Wasm);
        host["spec"]["hostNetwork"] = json!(true);
        host["spec"]["hostPID"] = json!(true);
        let mut shared = scene.ticker("shared", Runtime::Wasm);
        shared["spec"]["shareProcessNamespace"] = json!(true);
        let own = scene.ticker("own", Runtime::Wasm);

        let node = namespaces(scene, 1).await?;
        let mut found = BTreeMap::new();
        for (name, pod) in [("host", host), ("shared", shared), ("own", own)] {
            let status = process(scene, name, pod).await?;
            let pid = status.get("Pid").context("no Pid")?.parse()?;
            found.insert(name, (namespaces(scene, pid).await?, status));
        }
        let (host, _) = &found["host"];
        for kind in ["net", "pid"] {
            ensure!(
                host[kind] == node[kind],
                "hostNetwork and hostPID: its own {kind}"
            );
        }
        ensure!(host["mnt"] != node["mnt"], "a mount namespace of the node");
        let (own, _) = &found["own"];
        for kind in ["net", "pid", "mnt", "ipc", "uts"] {
            ensure!(own[kind] != node[kind], "{kind} is the node's");
        }
        // Not the first process of its namespace: the sandbox is.
        let inner = found["shared"].1.get("NSpid").context("no NSpid")?;
        let last = inner.split_whitespace().last().unwrap_or_default();
        ensure!(last != "1", "shareProcessNamespace: NSpid {inner}");
        let listed = scene.kubectl_ok(&["exec", "shared", "--", "ps"]).await?;
        ensure!(
            listed.lines().count() >= 3,
            "ps in a shared PID namespace: {listed}"
        );
        Ok(())
    })
    .await
}

/// Makes the pod and reads `/proc/<pid>/status` of its container on the node.
async fn process(
    scene: &Scene,
    name: &str,
    pod: serde_json::Value,
) -> Result<BTreeMap<String, String>> {
    pods::create(&scene.client, &scene.ns, pod).await?;
    let pod = pods::until_ready(&scene.client, &scene.ns, name).await?;
    pods::until_says_more(&scene.client, &scene.ns, name, 0).await?;
    let inside = &scene.worker.inside;
    let pid = inside.process(pods::container_id(&pod)?).await?.pid;
    let status = inside.bash(&format!("cat /proc/{pid}/status")).await?;
    Ok(status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect())
}

/// The namespaces of a process on the node, by kind.
async fn namespaces(scene: &Scene, pid: u32) -> Result<BTreeMap<String, String>> {
    let script =
        format!("cd /proc/{pid}/ns && for kind in *; do echo $kind $(readlink $kind); done");
    let text = scene.worker.inside.bash(&script).await?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(kind, name)| (kind.to_owned(), name.to_owned()))
        .collect())
}
