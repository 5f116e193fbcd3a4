//! Probes and lifecycle hooks of Wasm containers: what the kubelet asks, and what follows.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::{Value, json};
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::wait::until;

#[tokio::test]
async fn http_tcp_grpc_and_exec_probes_pass() -> Result<(), Failure> {
    let test = "http_tcp_grpc_and_exec_probes_pass";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        let probes = [
            (
                "http",
                "/http.wasm",
                json!({ "httpGet": { "path": "/probed", "port": 8080 } }),
            ),
            (
                "tcp",
                "/http.wasm",
                json!({ "tcpSocket": { "port": 8080 } }),
            ),
            (
                "grpc",
                "/grpc-health.wasm",
                json!({ "grpc": { "port": 8080 } }),
            ),
            (
                "exec",
                "/http.wasm",
                json!({ "exec": { "command": ["sh", "-c", "test -f /http.wasm"] } }),
            ),
        ];
        for (name, module, probe) in &probes {
            let mut pod = scene.guest(name, Runtime::Wasm, &[module]);
            let container = &mut pod["spec"]["containers"][0];
            for field in ["startupProbe", "readinessProbe", "livenessProbe"] {
                container[field] = often(probe);
            }
            pods::create(&scene.client, &scene.ns, pod).await?;
        }
        for (name, ..) in probes {
            let pod = pods::until_ready(&scene.client, &scene.ns, name)
                .await
                .with_context(|| format!("the {name} probes"))?;
            let status = pods::status(&pod).context("no container status")?;
            ensure!(status.restart_count == 0, "{name}: {:?}", status.last_state);
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn failing_liveness_restarts_and_hooks_run() -> Result<(), Failure> {
    let test = "failing_liveness_restarts_and_hooks_run";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        let mut pod = scene.ticker("doomed", Runtime::Wasm);
        pod["spec"]["restartPolicy"] = json!("Always");
        pod["spec"]["volumes"] = json!([{ "name": "notes", "emptyDir": {} }]);
        let container = &mut pod["spec"]["containers"][0];
        container["volumeMounts"] = json!([{ "name": "notes", "mountPath": "/notes" }]);
        container["livenessProbe"] =
            often(&json!({ "exec": { "command": ["cat", "/nothing/there"] } }));
        container["lifecycle"] = json!({
            "postStart": { "exec": { "command": ["sh", "-c", "echo began >>/notes/hooks"] } },
            "preStop": { "exec": { "command": ["sh", "-c", "echo ended >>/notes/hooks"] } },
        });
        pods::create(&scene.client, &scene.ns, pod).await?;
        let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.ns);
        until("the restart", pods::PATIENCE, || async {
            let pod = pods.get("doomed").await?;
            let status = pods::status(&pod);
            Ok(match status {
                Some(status) if status.restart_count > 0 && status.started == Some(true) => Ok(()),
                status => Err(format!("{status:?}")),
            })
        })
        .await?;
        let notes = until("both hooks' notes", pods::PATIENCE, || async {
            let notes = scene
                .kubectl(&["exec", "doomed", "--", "cat", "/notes/hooks"], "")
                .await?;
            Ok(if notes.stdout.starts_with("began\nended\nbegan\n") {
                Ok(notes.stdout)
            } else {
                Err(format!("{notes:?}"))
            })
        })
        .await?;
        ensure!(notes.contains("ended"), "{notes}");
        Ok(())
    })
    .await
}

fn often(probe: &Value) -> Value {
    let mut probe = probe.clone();
    probe["periodSeconds"] = json!(1);
    probe["failureThreshold"] = json!(3);
    probe["timeoutSeconds"] = json!(5);
    probe
}
