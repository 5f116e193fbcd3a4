//! A core WASI command as a Kubernetes Job: what it is given, what it says, how it ends.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};
use slipway_e2e::pods::{self, Runtime};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::wait::until;

const LINES: usize = 200;

#[tokio::test]
async fn p1_job_completes_with_logs_and_exit_code() -> Result<(), Failure> {
    let test = "p1_job_completes_with_logs_and_exit_code";
    on_each_worker(test, Start::ReadyShared, async |scene: &Scene| {
        completes(scene).await.context("a job that succeeds")?;
        exit_code_is_the_guests(scene)
            .await
            .context("a pod that fails on purpose")?;
        component_runs(scene)
            .await
            .context("the same program as a component")
    })
    .await
}

async fn completes(scene: &Scene) -> Result<()> {
    let configs: Api<ConfigMap> = Api::namespaced(scene.client.clone(), &scene.ns);
    let config = json!({ "metadata": { "name": "given" }, "data": { "words": "from a volume" } });
    configs
        .create(&PostParams::default(), &serde_json::from_value(config)?)
        .await?;

    let lines = LINES.to_string();
    let command = ["/job.wasm", "--lines", &lines, "--read", "/given/words"];
    let mut pod = scene.guest("", Runtime::Wasm, &command);
    let container = &mut pod["spec"]["containers"][0];
    container["env"] = json!([{ "name": "GREETING", "value": "grüß dich" }]);
    container["volumeMounts"] =
        json!([{ "name": "given", "mountPath": "/given", "readOnly": true }]);
    pod["spec"]["volumes"] = json!([{ "name": "given", "configMap": { "name": "given" } }]);
    let name = run_job(scene, "job", &pod["spec"]).await?;

    let ended = pods::until_ended(&scene.client, &scene.ns, &name).await?;
    ensure!(
        ended.state.exit_code == 0,
        "it ended with {:?}: {}",
        ended.state,
        ended.log
    );
    ensure!(
        ended.state.reason.as_deref() == Some("Completed"),
        "{:?}",
        ended.state
    );
    for (stream, count) in [("out", LINES), ("err", LINES)] {
        let said: Vec<&str> = numbered(&ended.log, stream).collect();
        let wanted: Vec<String> = (1..=count).map(|line| format!("{stream} {line}")).collect();
        ensure!(
            said == wanted,
            "{stream}: {} lines of {count}, in this order: {said:?}",
            said.len()
        );
    }
    for words in ["from a volume", "GREETING=grüß dich", "/given/words"] {
        ensure!(
            ended.log.contains(words),
            "no {words:?} in the log:\n{}",
            ended.log
        );
    }
    Ok(())
}

/// The lines a stream's counter printed, in the order of the log.
fn numbered<'a>(log: &'a str, stream: &str) -> impl Iterator<Item = &'a str> {
    log.lines().filter(move |line| {
        line.strip_prefix(stream)
            .and_then(|rest| rest.strip_prefix(' '))
            .is_some_and(|number| number.parse::<usize>().is_ok())
    })
}

async fn run_job(scene: &Scene, name: &str, pod: &Value) -> Result<String> {
    let jobs: Api<Job> = Api::namespaced(scene.client.clone(), &scene.ns);
    let job = json!({
        "metadata": { "name": name },
        "spec": { "backoffLimit": 0, "template": { "spec": pod } },
    });
    jobs.create(&PostParams::default(), &serde_json::from_value(job)?)
        .await?;
    until("the job to complete", pods::PATIENCE, || async {
        let status = jobs.get(name).await?.status.unwrap_or_default();
        ensure!(
            status.failed.unwrap_or(0) == 0,
            "the job failed: {status:?}"
        );
        Ok(if status.succeeded == Some(1) {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        })
    })
    .await?;
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.ns);
    let made = pods
        .list(&ListParams::default().labels(&format!("job-name={name}")))
        .await?;
    let pod = made.items.first().context("the job has no pod")?;
    pod.metadata.name.clone().context("a pod without a name")
}

/// `wasi:cli/run` instead of a core module's `_start`.
async fn component_runs(scene: &Scene) -> Result<()> {
    let command = ["/job-p2.wasm", "--lines", "3", "one more"];
    pods::create(
        &scene.client,
        &scene.ns,
        scene.guest("p2", Runtime::Wasm, &command),
    )
    .await?;
    let ended = pods::until_ended(&scene.client, &scene.ns, "p2").await?;
    ensure!(
        ended.state.exit_code == 0,
        "it ended with {:?}: {}",
        ended.state,
        ended.log
    );
    for words in ["arg 3=one more", "out 3", "err 3"] {
        ensure!(
            ended.log.contains(words),
            "no {words:?} in the log:\n{}",
            ended.log
        );
    }
    Ok(())
}

async fn exit_code_is_the_guests(scene: &Scene) -> Result<()> {
    let pod = scene.guest(
        "fails",
        Runtime::Wasm,
        &["/job.wasm", "--lines", "1", "--exit", "7"],
    );
    pods::create(&scene.client, &scene.ns, pod).await?;
    let ended = pods::until_ended(&scene.client, &scene.ns, "fails").await?;
    ensure!(
        ended.state.exit_code == 7,
        "exit code {}",
        ended.state.exit_code
    );
    ensure!(ended.phase == "Failed", "phase {}", ended.phase);
    ensure!(
        ended.log.contains("out 1") && ended.log.contains("err 1"),
        "log: {}",
        ended.log
    );
    Ok(())
}
