//! Ordinary containers beside a Wasm one: init containers, sidecars, debug containers.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::Api;
use kube::api::LogParams;
use serde_json::json;
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::wait::until;

const POD: &str = "mixed";

#[tokio::test]
async fn native_init_sidecar_and_debug_containers_run_beside_wasm() -> Result<(), Failure> {
    let test = "native_init_sidecar_and_debug_containers_run_beside_wasm";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        let mut pod = scene.ticker(POD, Runtime::Wasm);
        let native = |name: &str, command: &[&str]| {
            json!({
                "name": name,
                "image": scene.settings.guests,
                "imagePullPolicy": "IfNotPresent",
                "command": command,
            })
        };
        let mut sidecar = native("sidecar", &["/native-ticker"]);
        sidecar["restartPolicy"] = json!("Always");
        pod["spec"]["initContainers"] = json!([native("first", &["/native-ticker", "1"]), sidecar]);
        let beside = native("beside", &["/native-ticker"]);
        let containers = pod["spec"]["containers"].as_array_mut();
        containers.context("no containers")?.push(beside);

        pods::create(&scene.client, &scene.ns, pod).await?;
        pods::until_ready(&scene.client, &scene.ns, POD).await?;
        ensure!(
            log(scene, "first").await? == "tick 1\n",
            "the init container"
        );
        for name in [pods::CONTAINER, "sidecar", "beside"] {
            until_ticks(scene, name)
                .await
                .with_context(|| format!("container {name}"))?;
        }

        let said = scene
            .kubectl_ok(&["exec", POD, "-c", "sidecar", "--", "/native-ticker", "2"])
            .await?;
        ensure!(said == "tick 1\ntick 2\n", "exec in the sidecar: {said:?}");
        let shown = scene
            .kubectl_on_terminal(
                &[
                    "exec",
                    "-it",
                    POD,
                    "-c",
                    "beside",
                    "--",
                    "/native-ticker",
                    "1",
                ],
                "",
            )
            .await?;
        ensure!(
            shown.stdout.contains("tick 1\r\n"),
            "a terminal in a native container: {shown:?}"
        );

        debug_container_is_a_neighbour(scene).await?;
        nothing_restarted(scene).await?;
        all_of_it_goes(scene).await
    })
    .await
}

async fn debug_container_is_a_neighbour(scene: &Scene) -> Result<()> {
    scene
        .kubectl_ok(&[
            "debug",
            POD,
            "--image",
            &scene.settings.guests,
            "--container",
            "visitor",
            "--profile",
            "general",
            "--",
            "/native-ticker",
        ])
        .await?;
    until_ticks(scene, "visitor")
        .await
        .context("the debug container")
}

async fn nothing_restarted(scene: &Scene) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.ns);
    let status = pods.get(POD).await?.status.unwrap_or_default();
    let all: Vec<ContainerStatus> = [
        status.container_statuses,
        status.init_container_statuses,
        status.ephemeral_container_statuses,
    ]
    .into_iter()
    .flatten()
    .flatten()
    .collect();
    ensure!(all.len() == 5, "{} container statuses", all.len());
    for container in all {
        ensure!(
            container.restart_count == 0,
            "{} restarted: {:?}",
            container.name,
            container.last_state
        );
    }
    Ok(())
}

async fn all_of_it_goes(scene: &Scene) -> Result<()> {
    let count = "find /proc -maxdepth 2 -name comm -exec grep -lx native-ticker {} + 2>/dev/null | wc -l || true";
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.ns);
    let uid = pods.get(POD).await?.metadata.uid.context("no uid")?;
    pods.delete(POD, &kube::api::DeleteParams::default())
        .await?;
    let cgroups = format!(
        "find /sys/fs/cgroup -type d -name '*{}*' | wc -l",
        uid.replace('-', "_")
    );
    until("the pod to be gone", pods::PATIENCE, || async {
        let there = pods.get_opt(POD).await?.is_some();
        let left = scene.worker.inside.bash(&cgroups).await?;
        Ok(if !there && left.trim() == "0" {
            Ok(())
        } else {
            let native = scene.worker.inside.bash(count).await?;
            Err(format!(
                "pod there: {there}, cgroups: {}, native processes on the node: {}",
                left.trim(),
                native.trim()
            ))
        })
    })
    .await
}

async fn log(scene: &Scene, container: &str) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.ns);
    let params = LogParams {
        container: Some(container.to_owned()),
        ..LogParams::default()
    };
    Ok(pods.logs(POD, &params).await?)
}

async fn until_ticks(scene: &Scene, container: &str) -> Result<()> {
    until(&format!("{container} to tick"), pods::PATIENCE, || async {
        Ok(match log(scene, container).await {
            Ok(text) if text.contains("tick 2\n") => Ok(()),
            Ok(text) => Err(format!("{text:?}")),
            // The container is not there yet.
            Err(error) => Err(format!("{error:#}")),
        })
    })
    .await
}
