//! A containerd restart under running pods.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::DeleteParams;
use slipway_e2e::identity::{self, TICKERS};
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::wait::until;

#[tokio::test]
async fn pods_survive_containerd_restart() -> Result<(), Failure> {
    on_each_worker(
        "pods_survive_containerd_restart",
        Start::ReadyAlone,
        async |scene: &Scene| {
            let inside = &scene.worker.inside;
            let before = identity::tickers(scene).await?;

            let old = inside.containerd_pid().await?;
            inside.bash("systemctl restart containerd").await?;
            let new = inside.containerd_pid().await?;
            ensure!(
                old != new,
                "containerd did not restart: it is still process {old}"
            );
            until("containerd", Duration::from_secs(30), || async {
                Ok(inside
                    .containerd_answers()
                    .await
                    .map_err(|error| format!("{error:#}")))
            })
            .await?;

            // Pods that begin and end after the restart: by then the kubelet has looked at all pods again.
            for (name, runtime) in [
                ("wasm-after", Runtime::Wasm),
                ("native-after", Runtime::Native),
            ] {
                pods::create(&scene.client, &scene.ns, scene.ticker(name, runtime)).await?;
                pods::until_ready(&scene.client, &scene.ns, name).await?;
            }
            until_node_ready(scene).await?;

            identity::still_tick(scene, &before).await?;

            // What survives must also be able to go: no process may stay behind.
            let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.ns);
            for ((name, _), before) in TICKERS.iter().zip(&before) {
                pods.delete(name, &DeleteParams::default()).await?;
                until(
                    &format!("pod {name} to be gone"),
                    pods::PATIENCE,
                    || async {
                        Ok(match pods.get_opt(name).await? {
                            None => Ok(()),
                            Some(_) => Err("still there".to_owned()),
                        })
                    },
                )
                .await?;
                let pid = before.process.pid;
                let left = inside
                    .bash(&format!("cat /proc/{pid}/stat 2>/dev/null || true"))
                    .await?;
                ensure!(
                    left.trim().is_empty(),
                    "{name} is gone, its process is not: {left}"
                );
            }
            Ok(())
        },
    )
    .await
}

async fn until_node_ready(scene: &Scene) -> Result<()> {
    let nodes: Api<Node> = Api::all(scene.client.clone());
    until("the node to be ready", pods::PATIENCE, || async {
        let node = nodes.get(&scene.worker.name).await?;
        let conditions = node
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        let ready = conditions
            .iter()
            .find(|condition| condition.type_ == "Ready");
        Ok(match ready {
            Some(condition) if condition.status == "True" => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await
}
