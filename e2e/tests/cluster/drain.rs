//! Pods replaced under load: no request may fail.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use slipway_e2e::pods;
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::wait::until;

#[tokio::test]
async fn replacing_pods_under_load_fails_no_request() -> Result<(), Failure> {
    let test = "replacing_pods_under_load_fails_no_request";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        let [mut deployment, service] = scene.hello(2);
        let spec = &mut deployment["spec"]["template"]["spec"];
        // What every server behind a Service needs: endpoints are withdrawn only while the pod is ending.
        spec["containers"][0]["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": 4 } } });
        spec["terminationGracePeriodSeconds"] = json!(20);
        deployment["spec"]["strategy"] =
            json!({ "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } });
        let deployments: Api<Deployment> = Api::namespaced(scene.client.clone(), &scene.ns);
        let services: Api<Service> = Api::namespaced(scene.client.clone(), &scene.ns);
        let params = PostParams::default();
        deployments.create(&params, &serde_json::from_value(deployment)?).await?;
        let service = services.create(&params, &serde_json::from_value(service)?).await?;
        let address = service
            .spec
            .and_then(|spec| spec.cluster_ip)
            .context("no cluster IP")?;
        scene
            .kubectl_ok(&["rollout", "status", "deployment/hello", "--timeout", "55s"])
            .await?;
        let url = format!("http://{address}/");
        let inside = &scene.other.inside;
        until("a first answer", pods::PATIENCE, || async {
            Ok(inside.get(&url).await.map_err(|error| format!("{error:#}")))
        })
        .await?;

        // Four clients, each a new connection a request, until the file is gone; what fails is written down.
        let run = format!("/tmp/load-{}", scene.ns);
        inside
            .bash(&format!(
                "mkdir {run}; touch {run}/go; for n in 1 2 3 4; do (
                     while [ -e {run}/go ]; do
                         code=$(curl -s -o /dev/null -w '%{{http_code}}' --max-time 10 {url} || true)
                         echo $code >>{run}/codes-$n
                     done; touch {run}/done-$n
                 ) >/dev/null 2>&1 </dev/null & done"
            ))
            .await?;
        let rolled = async {
            scene.kubectl_ok(&["rollout", "restart", "deployment/hello"]).await?;
            scene
                .kubectl_ok(&["rollout", "status", "deployment/hello", "--timeout", "55s"])
                .await?;
            // Until the last of the old ones is gone, with the load still on.
            scene
                .kubectl_ok(&["wait", "pod", "--selector", "app=hello", "--for", "jsonpath={.status.phase}=Running", "--timeout", "30s"])
                .await?;
            until("the old pods to be gone", pods::PATIENCE, || async {
                let names = scene
                    .kubectl_ok(&["get", "pods", "--selector", "app=hello", "--output", "name"])
                    .await?;
                let count = names.lines().count();
                Ok(if count == 2 { Ok(()) } else { Err(format!("{count} pods")) })
            })
            .await
        }
        .await;
        inside.bash(&format!("rm -f {run}/go")).await?;
        rolled?;
        until("the clients to end", pods::PATIENCE, || async {
            let ended = inside.bash(&format!("ls {run} | grep -c done || true")).await?;
            Ok(if ended.trim() == "4" { Ok(()) } else { Err(ended) })
        })
        .await?;
        let codes = inside
            .bash(&format!("cat {run}/codes-* | sort | uniq -c; rm -r {run}"))
            .await?;
        let all: Vec<&str> = codes.lines().map(str::trim).collect();
        ensure!(all.len() == 1 && all[0].ends_with(" 200"), "answers by status: {all:?}");
        let count: u32 = all[0].trim_end_matches(" 200").trim().parse()?;
        ensure!(count > 50, "only {count} requests: no load");
        Ok(())
    })
    .await
}
