//! Metrics of Wasm pods: `kubectl top`, and a HorizontalPodAutoscaler that follows them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use slipway_e2e::pods::Runtime;
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::{metrics, wait::until};

/// Two rounds of metrics, and two of the autoscaler's, which each take 15 s.
const PATIENCE: Duration = Duration::from_secs(150);

#[tokio::test]
async fn cpu_of_a_wasm_deployment_scales_it() -> Result<(), Failure> {
    let test = "cpu_of_a_wasm_deployment_scales_it";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        metrics::install(scene).await?;
        let mut template = scene.guest("", Runtime::Wasm, &["/spin.wasm"]);
        template["spec"]["restartPolicy"] = json!("Always");
        template["spec"]["containers"][0]["resources"] = json!({
            "requests": { "cpu": "20m", "memory": "16Mi" },
            "limits": { "cpu": "100m", "memory": "64Mi" },
        });
        let labels = json!({ "app": "spin" });
        let deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": "spin" },
            "spec": {
                "replicas": 1,
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": template["spec"] },
            },
        });
        let deployments: Api<Deployment> = Api::namespaced(scene.client.clone(), &scene.ns);
        deployments
            .create(&PostParams::default(), &serde_json::from_value(deployment)?)
            .await?;
        scene
            .kubectl_ok(&[
                "autoscale",
                "deployment",
                "spin",
                "--min",
                "1",
                "--max",
                "2",
                "--cpu",
                "50%",
            ])
            .await?;

        until("the second replica", PATIENCE, || async {
            let status = deployments.get("spin").await?.status.unwrap_or_default();
            Ok(if status.replicas == Some(2) {
                Ok(())
            } else {
                let autoscaler = scene
                    .kubectl(&["get", "hpa", "spin", "--no-headers"], "")
                    .await?;
                Err(format!(
                    "{} {}",
                    autoscaler.stdout.trim(),
                    autoscaler.stderr.trim()
                ))
            })
        })
        .await?;

        let top = scene.kubectl_ok(&["top", "pods", "--no-headers"]).await?;
        let line = top.lines().next().context("kubectl top shows nothing")?;
        let cpu: u32 = number(line.split_whitespace().nth(1), "m")?;
        ensure!(
            (40..=160).contains(&cpu),
            "a spinning guest with a limit of 100m uses {cpu}m"
        );
        // Less than the MiB that kubectl counts in: the code is the node's page cache.
        let usage = "-o=jsonpath={.items[0].containers[0].usage.memory}";
        let memory = scene.kubectl_ok(&["get", "podmetrics", usage]).await?;
        let memory: u32 = number(Some(memory.trim()), "Ki")?;
        ensure!((1..=65536).contains(&memory), "it uses {memory} KiB");
        Ok(())
    })
    .await
}

fn number(text: Option<&str>, unit: &str) -> Result<u32> {
    let text = text.context("a column is missing")?;
    Ok(text.trim_end_matches(unit).parse()?)
}
