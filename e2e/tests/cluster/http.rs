//! An HTTP component behind a Service, asked from another node.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::{ListParams, PostParams};
use slipway_e2e::pods;
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::wait::until;

const REPLICAS: u32 = 2;

#[tokio::test]
async fn http_component_answers_through_a_service() -> Result<(), Failure> {
    let test = "http_component_answers_through_a_service";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        let [deployment, service] = scene.hello(REPLICAS);
        let deployments: Api<Deployment> = Api::namespaced(scene.client.clone(), &scene.ns);
        let services: Api<Service> = Api::namespaced(scene.client.clone(), &scene.ns);
        let params = PostParams::default();
        deployments
            .create(&params, &serde_json::from_value(deployment)?)
            .await?;
        let service = services
            .create(&params, &serde_json::from_value(service)?)
            .await?;
        let address = service
            .spec
            .and_then(|spec| spec.cluster_ip)
            .context("no cluster IP")?;

        until("the deployment", pods::PATIENCE, || async {
            let status = deployments.get("hello").await?.status.unwrap_or_default();
            let ready = status.ready_replicas.unwrap_or(0);
            Ok(if ready == i32::try_from(REPLICAS)? {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            })
        })
        .await?;

        // kube-proxy of each node has to learn of the endpoints; after that, no request may fail.
        for place in [&scene.worker, &scene.other] {
            let url = format!("http://{address}/from/{}", place.name);
            let first = until("a first answer", pods::PATIENCE, || async {
                Ok(place
                    .inside
                    .get(&url)
                    .await
                    .map_err(|error| format!("{error:#}")))
            })
            .await?;
            ensure!(
                first.0 == 200,
                "{url}: status {}, body {:?}",
                first.0,
                first.1
            );
            for _ in 0..5 {
                let (status, body) = place.inside.get(&url).await?;
                ensure!(status == 200, "{url}: status {status}, body {body:?}");
                ensure!(
                    body.contains(&format!("/from/{}", place.name)),
                    "body: {body:?}"
                );
            }
        }

        let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.ns);
        for pod in pods
            .list(&ListParams::default().labels("app=hello"))
            .await?
        {
            let place = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            ensure!(
                place == Some(scene.worker.name.as_str()),
                "a pod ran on {place:?}"
            );
            let status = pods::status(&pod).context("a pod without a container")?;
            ensure!(
                status.restart_count == 0,
                "{} restarts",
                status.restart_count
            );
        }
        Ok(())
    })
    .await
}
