//! The parts of the Job controller and of the kubelets, as far as the operator sees them: a Job gets a pod, the pod runs and
//! reports, the Job is complete; a canary runs and ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use slipway_crds::labels;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cluster::NAMESPACE;

/// Jobs and canaries that are played at a time.
const AT_ONCE: usize = 32;

/// Plays them until it is dropped.
pub(crate) async fn play(client: Client) -> Result<()> {
    let jobs = Api::<Job>::namespaced(client.clone(), NAMESPACE);
    let pods = Api::<Pod>::namespaced(client, NAMESPACE);
    let canaries = format!("{}={}", labels::COMPONENT, labels::COMPONENT_CANARY);
    let seen_jobs = watcher(jobs.clone(), watcher::Config::default());
    let seen_pods = watcher(pods.clone(), watcher::Config::default().labels(&canaries));
    let mut seen_jobs = seen_jobs.default_backoff().applied_objects().boxed();
    let mut seen_pods = seen_pods.default_backoff().applied_objects().boxed();
    let mut begun = BTreeSet::new();
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        tokio::select! {
            job = seen_jobs.next() => {
                // An error is a watch that begins anew.
                let Ok(job) = job.context("the watch of Jobs has ended")? else { continue };
                if begun.insert(job.uid()) {
                    let (jobs, pods, room) = (jobs.clone(), pods.clone(), Arc::clone(&room));
                    tasks.spawn(async move {
                        let _room = room.acquire_owned().await?;
                        run(&jobs, &pods, &job).await.with_context(|| format!("Job {}", job.name_any()))
                    });
                }
            }
            pod = seen_pods.next() => {
                let Ok(pod) = pod.context("the watch of pods has ended")? else { continue };
                if begun.insert(pod.uid()) {
                    let (pods, room) = (pods.clone(), Arc::clone(&room));
                    tasks.spawn(async move {
                        let _room = room.acquire_owned().await?;
                        let name = pod.name_any();
                        show(&pods, &name, running("canary")).await?;
                        show(&pods, &name, ended("canary", "")).await.with_context(|| format!("pod {name}"))
                    });
                }
            }
            Some(done) = tasks.join_next() => done??,
        }
    }
}

/// A Job's life.
async fn run(jobs: &Api<Job>, pods: &Api<Pod>, job: &Job) -> Result<()> {
    let name = job.name_any();
    let begun = now()?;
    let pod = pod_of(job)?;
    pods.create(&PostParams::default(), &pod).await?;
    let active =
        json!({"active": 1, "ready": 0, "startTime": begun, "uncountedTerminatedPods": {}});
    set(jobs, &name, active).await?;
    show(pods, &pod.name_any(), running("installer")).await?;
    let operation = if name.contains("uninstall") {
        "uninstall"
    } else {
        "install"
    };
    let report = ended("installer", &report(operation).to_string());
    show(pods, &pod.name_any(), report).await?;
    let condition = |type_: &str| {
        json!({
            "type": type_, "status": "True", "reason": "CompletionsReached", "message": "as many as wanted",
            "lastProbeTime": begun, "lastTransitionTime": begun,
        })
    };
    // As the API server wants a Job that is complete (`getStatusValidationOptions`, pkg/registry/batch/job).
    let complete = json!({
        "active": 0, "ready": 0, "terminating": 0, "succeeded": 1, "completionTime": now()?,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
    });
    set(jobs, &name, complete).await
}

fn pod_of(job: &Job) -> Result<Pod> {
    let name = job.name_any();
    let template = job.spec.as_ref().map(|spec| spec.template.clone());
    let template = template.context("a Job without a template")?;
    let mut metadata = template.metadata.unwrap_or_default();
    metadata.name = Some(format!("{name}-x"));
    metadata.owner_references = job.controller_owner_ref(&()).map(|owner| vec![owner]);
    let labels = metadata.labels.get_or_insert_default();
    labels.insert("batch.kubernetes.io/job-name".to_owned(), name);
    Ok(Pod {
        metadata,
        spec: template.spec,
        status: None,
    })
}

async fn set(jobs: &Api<Job>, name: &str, status: Value) -> Result<()> {
    let patch = Patch::Merge(json!({ "status": status }));
    jobs.patch_status(name, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

/// Writes a pod's status. One that is gone meanwhile was of no more use.
async fn show(pods: &Api<Pod>, name: &str, status: Value) -> Result<()> {
    let patch = Patch::Merge(json!({ "status": status }));
    match pods
        .patch_status(name, &PatchParams::default(), &patch)
        .await
    {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        result => result.map(drop).map_err(Into::into),
    }
}

fn running(container: &str) -> Value {
    json!({
        "phase": "Running",
        "containerStatuses": [status(container, true, &json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}))],
    })
}

fn ended(container: &str, message: &str) -> Value {
    let end = json!({
        "exitCode": 0, "reason": "Completed", "message": message,
        "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z",
    });
    json!({
        "phase": "Succeeded",
        "containerStatuses": [status(container, false, &json!({"terminated": end}))],
    })
}

fn status(container: &str, ready: bool, state: &Value) -> Value {
    json!({
        "name": container, "ready": ready, "restartCount": 0, "state": state,
        "image": "slipway/node-installer:bench", "imageID": "sha256:0",
    })
}

/// As the installer writes it.
fn report(operation: &str) -> Value {
    let steps = [
        "detect", "plan", "validate", "journal", "write", "restart", "verify",
    ];
    let steps = steps.map(|name| json!({"name": name, "ms": 100}));
    json!({
        "version": 1, "operation": operation, "outcome": "done", "reason": "Done",
        "message": "the node is as asked, and containerd was restarted for it",
        "containerd": {
            "version": "2.4.2", "config": "/etc/containerd/config.toml", "unit": "containerd.service",
            "socket": "/run/containerd/containerd.sock", "method": "dropIn",
        },
        "shim": {"name": "slipway", "digest": "0".repeat(64), "path": "/opt/slipway/0/containerd-shim-slipway-v1"},
        "handlers": ["wasmtime"], "cgroupDriver": "systemd", "restarted": true, "steps": steps,
    })
}

fn now() -> Result<Timestamp> {
    Ok(Timestamp::from_second(Timestamp::now().as_second())?)
}
