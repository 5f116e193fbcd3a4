//! Memory limits: told by the kernel, and moved while the pod runs.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::json;
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::wait::until;

/// More than the smaller limit leaves, less than the larger one.
const REQUEST: &str = "/bytes/50331648";

#[tokio::test]
async fn beyond_its_limit_a_guest_is_refused_memory_and_a_greedy_one_oom_killed()
-> Result<(), Failure> {
    let test = "beyond_its_limit_a_guest_is_refused_memory_and_a_greedy_one_oom_killed";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        let limited = |name: &str, module: &str| {
            let mut pod = scene.guest(name, Runtime::Wasm, &[module]);
            pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("64Mi");
            pod
        };
        // Asks page by page: its memory.grow fails, which it can handle.
        pods::create(&scene.client, &scene.ns, limited("asks", "/hoard.wasm")).await?;
        // Has 256 MiB from the start and writes to all of it: nobody can refuse that but the kernel.
        pods::create(&scene.client, &scene.ns, limited("takes", "/glutton.wasm")).await?;

        let asked = pods::until_ended(&scene.client, &scene.ns, "asks").await?;
        ensure!(
            asked.state.exit_code == 0 && asked.log.contains("refused after"),
            "{:?}: {}",
            asked.state,
            asked.log
        );
        let took = pods::until_ended(&scene.client, &scene.ns, "takes").await?;
        ensure!(
            took.state.reason.as_deref() == Some("OOMKilled") && took.state.exit_code == 137,
            "{:?}: {}",
            took.state,
            took.log
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn in_place_resize_reaches_the_running_guest() -> Result<(), Failure> {
    let test = "in_place_resize_reaches_the_running_guest";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        let mut pod = scene.guest("grows", Runtime::Wasm, &["/http.wasm"]);
        pod["spec"]["containers"][0]["resources"] = json!({
            "requests": { "cpu": "10m", "memory": "48Mi" },
            "limits": { "cpu": "500m", "memory": "48Mi" },
        });
        pods::create(&scene.client, &scene.ns, pod).await?;
        let pod = pods::until_ready(&scene.client, &scene.ns, "grows").await?;
        let address = pod
            .status
            .and_then(|status| status.pod_ip)
            .context("no address")?;
        let url = format!("http://{address}:8080{REQUEST}");
        // Its status is all that matters of an answer of 48 MiB.
        let ask = format!("curl -s -o /dev/null -w '%{{http_code}}' --max-time 30 {url} || true");
        let inside = &scene.worker.inside;
        let before = until("an answer", pods::PATIENCE, || async {
            let code = inside.bash(&ask).await?;
            Ok(if code.trim() == "000" {
                Err(code)
            } else {
                Ok(code)
            })
        })
        .await?;
        ensure!(before.trim() != "200", "48 MiB fit into a 48 MiB container");

        let patch = r#"{"spec":{"containers":[{"name":"main","resources":{
            "requests":{"memory":"256Mi"},"limits":{"cpu":"1","memory":"256Mi"}}}]}}"#;
        scene
            .kubectl_ok(&[
                "patch",
                "pod",
                "grows",
                "--subresource",
                "resize",
                "-p",
                patch,
            ])
            .await?;
        let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.ns);
        until("the resize", pods::PATIENCE, || async {
            let pod = pods.get("grows").await?;
            let status = pods::status(&pod).context("no container status")?;
            ensure!(status.restart_count == 0, "the resize restarted it");
            let limit = status
                .resources
                .as_ref()
                .and_then(|resources| resources.limits.as_ref()?.get("memory"))
                .map(|limit| limit.0.clone());
            Ok(if limit.as_deref() == Some("256Mi") {
                Ok(())
            } else {
                Err(format!("limit {limit:?}"))
            })
        })
        .await?;
        let after = inside.bash(&ask).await?;
        ensure!(after.trim() == "200", "after the resize: {after}");
        Ok(())
    })
    .await
}
