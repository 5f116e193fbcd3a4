//! Shims of others: from a URL, from an image, and one that is on the node already, each shown with containerd's own
//! `containerd-shim-runc-v2`, and each taken off again.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use slipway_e2e::events;
use slipway_e2e::fault::Fault;
use slipway_e2e::file_server::FileServer;
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::provision::PATIENCE;
use slipway_e2e::runc_shim::{ARCHIVE, BINARY, IMAGE, RuncShim};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::untouched::Untouched;
use slipway_e2e::wait::until;
use slipway_e2e::{nodeshim, operator, shim};

/// The metric of installs whose files were not to be had.
const UNFETCHED: &str = "slipway_node_transactions_total{operation=\"install\",outcome=\"unfetched\",reason=\"FetchFailed\"}";

#[tokio::test]
async fn shims_of_others_serve_pods_and_go_without_a_trace() -> Result<(), Failure> {
    let test = "shims_of_others_serve_pods_and_go_without_a_trace";
    on_each_worker(test, Start::BareAlone, async |scene: &Scene| {
        let inside = &scene.worker.inside;
        let names = Names::on(&scene.worker.name);
        names.delete(scene).await?;
        let server = FileServer::start(scene).await?;
        let architecture = architecture(scene).await?;
        let runc = RuncShim::pack(scene, &server, &architecture).await?;
        // An administrator's own handler, for the shim to be adopted.
        let handler = Fault::handler(inside, &names.served).await?;
        inside.until_cri_answers(pods::PATIENCE).await?;
        let before = Untouched::of(inside).await?;

        let outcome = scenario(scene, &names, &server, &runc, &architecture).await;
        // Also after a failure: the next test must not find them.
        let gone = names.delete(scene).await;
        outcome?;
        gone?;

        before.is_back(inside).await?;
        inside.until_cri_answers(pods::PATIENCE).await?;
        drop(handler);
        Ok(())
    })
    .await
}

/// `Shim`s, handlers and RuntimeClasses of this node: they are the cluster's, and each worker has its own.
struct Names {
    url: String,
    image: String,
    adopt: String,
    /// The handler that the administrator's table serves.
    served: String,
}

impl Names {
    fn on(node: &str) -> Self {
        Self {
            url: format!("e2e-url-{node}"),
            image: format!("e2e-image-{node}"),
            adopt: format!("e2e-adopt-{node}"),
            served: format!("e2e-served-{node}"),
        }
    }

    /// Ends their pods, and takes them off the node.
    async fn delete(&self, scene: &Scene) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.ns);
        let at_once = DeleteParams::default().grace_period(1);
        pods.delete_collection(&at_once, &ListParams::default())
            .await?;
        let all = [&self.url, &self.image, &self.adopt];
        try_join_all(all.map(|name| shim::delete(&scene.client, name, PATIENCE))).await?;
        Ok(())
    }
}

async fn scenario(
    scene: &Scene,
    names: &Names,
    server: &FileServer,
    runc: &RuncShim,
    architecture: &str,
) -> Result<()> {
    let client = &scene.client;
    let url = |file: &str, sha256: &str| {
        let platform = json!({
            "platform": format!("linux/{architecture}"), "url": server.url(file), "sha256": sha256,
        });
        let source = json!({ "url": { "binary": BINARY, "platforms": [platform] } });
        spec(scene, &source, &[&names.url])
    };
    let wrong = "0".repeat(64);
    let refused = ["FetchFailed", &runc.archive_sha256, &wrong];
    unfetched(scene, &names.url, &url(ARCHIVE, &wrong), &refused)
        .await
        .context("with a wrong sha256")?;
    let other = "1".repeat(64);
    let address = server.url("no-such-file");
    let lost = ["FetchFailed", &address, "404"];
    unfetched(scene, &names.url, &url("no-such-file", &other), &lost)
        .await
        .context("with an address where nothing is")?;

    // The same Shim with what is right, and the others beside it.
    let image = json!({ "image": { "reference": IMAGE, "binary": BINARY } });
    let adopt = json!({ "adopt": { "path": runc.path } });
    for (name, spec) in [
        (&names.url, url(ARCHIVE, &runc.archive_sha256)),
        (&names.image, spec(scene, &image, &[&names.image])),
        (
            &names.adopt,
            spec(scene, &adopt, &[&names.adopt, &names.served]),
        ),
    ] {
        shim::apply(client, name, &spec).await?;
    }
    for name in [&names.url, &names.image, &names.adopt] {
        shim::until_reason(client, name, "Ready", "AllNodesReady", PATIENCE)
            .await
            .with_context(|| format!("Shim {name}"))?;
    }

    let classes = [&names.url, &names.image, &names.adopt, &names.served];
    for class in classes {
        let mut pod = scene.ticker(class, Runtime::Native);
        pod["spec"]["runtimeClassName"] = json!(class);
        pods::create(client, &scene.ns, pod).await?;
    }
    for name in [&names.url, &names.image] {
        let path = installed(scene, name).await?;
        ensure!(
            path.starts_with("/opt/slipway/"),
            "the shim of {name} stands at {path}"
        );
        let sum = format!("sha256sum <{path}");
        let sum = scene.worker.inside.bash(&sum).await?;
        ensure!(
            sum.starts_with(&runc.sha256),
            "{path} is another file: {sum}"
        );
        runs_by(scene, name, &path).await?;
    }
    runs_by(scene, &names.adopt, &runc.path).await?;
    runs_by(scene, &names.served, "io.containerd.runc.v2").await
}

/// A `Shim` for this node alone, proven by a native program that runs on.
fn spec(scene: &Scene, source: &Value, handlers: &[&String]) -> Value {
    let handlers: Vec<_> = handlers
        .iter()
        .map(|name| json!({ "name": name }))
        .collect();
    json!({
        "source": source,
        "nodeSelector": { "matchLabels": { "kubernetes.io/hostname": scene.worker.name } },
        "handlers": handlers,
        "canary": {
            "image": scene.settings.guests, "command": ["/native-ticker"], "success": "Running",
        },
    })
}

/// Asks for a shim that is not to be had: the reason is in the status, an event and a metric, with these words, and
/// nothing is changed.
async fn unfetched(scene: &Scene, name: &str, spec: &Value, words: &[&str]) -> Result<()> {
    let (client, node, inside) = (&scene.client, &scene.worker.name, &scene.worker.inside);
    let before = (inside.tree().await?, inside.containerd_pid().await?);
    let told = events::warnings(scene, "FetchFailed").await?.len();
    let counted = operator::metric(scene, UNFETCHED).await?;
    shim::apply(client, name, spec).await?;

    until("a shim that is not to be had", PATIENCE, || async {
        let Some(found) = nodeshim::get_of(client, node, name).await? else {
            return Ok(Err("there is no NodeShim".to_owned()));
        };
        let said = nodeshim::condition(&found, "Ready");
        Ok(match &said {
            Some((status, reason, message)) if status == "False" => {
                let line = format!("{reason}: {message}");
                if words.iter().all(|word| line.contains(word)) {
                    Ok(())
                } else {
                    Err(line)
                }
            }
            _ => Err(format!("{said:?}")),
        })
    })
    .await?;
    // The event's reason is not part of what it says.
    events::until_warned(scene, "FetchFailed", told, &words[1..]).await?;
    let now = operator::metric(scene, UNFETCHED).await?;
    ensure!(now > counted, "{UNFETCHED} was {counted} and is {now}");
    let failed = format!("slipway_shim_nodes{{shim=\"{name}\",state=\"failed\"}}");
    until(
        "the Shim's failed node to be counted",
        pods::PATIENCE,
        || async {
            let counted = operator::metric(scene, &failed).await?;
            Ok(if counted >= 1.0 {
                Ok(())
            } else {
                Err(format!("{counted}"))
            })
        },
    )
    .await?;

    let changes = before.0.changes(&inside.tree().await?);
    ensure!(
        changes.is_empty(),
        "nothing was to be had, and changed:\n{changes}"
    );
    ensure!(
        inside.containerd_pid().await? == before.1,
        "containerd was restarted"
    );
    Ok(())
}

/// Where the shim stands on the scene's node.
async fn installed(scene: &Scene, name: &str) -> Result<String> {
    let found = nodeshim::get_of(&scene.client, &scene.worker.name, name).await?;
    let found = found.with_context(|| format!("there is no NodeShim of {name}"))?;
    let path = found.data["status"]["installed"]["path"].as_str();
    Ok(path.context("no path in its status")?.to_owned())
}

/// The pod of this name runs, is heard, and containerd runs it by that runtime.
async fn runs_by(scene: &Scene, name: &str, runtime: &str) -> Result<()> {
    let pod = pods::until_ready(&scene.client, &scene.ns, name).await?;
    pods::until_says_more(&scene.client, &scene.ns, name, 0).await?;
    let id = pods::container_id(&pod)?;
    let script = format!("ctr -n k8s.io containers info {id} | jq -r .Runtime.Name");
    let found = scene.worker.inside.bash(&script).await?;
    ensure!(
        found.trim() == runtime,
        "{name} runs by {}, not by {runtime}",
        found.trim()
    );
    Ok(())
}

async fn architecture(scene: &Scene) -> Result<String> {
    let node = Api::<Node>::all(scene.client.clone())
        .get(&scene.worker.name)
        .await?;
    let info = node.status.and_then(|status| status.node_info);
    Ok(info
        .context("the kubelet says nothing of the node")?
        .architecture)
}
