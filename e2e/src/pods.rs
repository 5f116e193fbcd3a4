//! Pods of the tests: making them, waiting for them, reading what they said.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use kube::api::{LogParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::names;
use crate::wait::until;

/// For a pod whose image is on the node already.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The name of the one container of these pods.
pub const CONTAINER: &str = "main";

/// Runs the container through the node's native runtime or through ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// No RuntimeClass.
    Native,
    /// Our RuntimeClass.
    Wasm,
}

/// A pod with one container on one node. The node is chosen by a selector, so the scheduler and the
/// RuntimeClass have their say.
#[must_use]
pub fn pod(name: &str, node: &str, runtime: Runtime, image: &str, command: &[&str]) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "nodeSelector": { "kubernetes.io/hostname": node },
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "automountServiceAccountToken": false,
            "containers": [{
                "name": CONTAINER,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": command,
                "resources": {
                    "requests": { "cpu": "10m", "memory": "32Mi" },
                    "limits": { "memory": "128Mi" },
                },
            }],
        },
    });
    if runtime == Runtime::Wasm {
        pod["spec"]["runtimeClassName"] = json!(names::RUNTIME_CLASS);
    }
    pod
}

/// Makes the pod.
///
/// # Errors
/// When the API server refuses.
pub async fn create(client: &Client, ns: &str, pod: Value) -> Result<Pod> {
    let pod: Pod = serde_json::from_value(pod).context("not a pod")?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), ns);
    Ok(pods.create(&PostParams::default(), &pod).await?)
}

/// A container's end as `kubectl describe pod` shows it, and its whole log.
#[derive(Debug)]
pub struct Ended {
    /// The pod's phase.
    pub phase: String,
    /// The container's last state.
    pub state: ContainerStateTerminated,
    /// Standard output and error.
    pub log: String,
}

/// Waits until the pod's container has ended.
///
/// # Errors
/// When it does not, or its log cannot be read.
pub async fn until_ended(client: &Client, ns: &str, name: &str) -> Result<Ended> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), ns);
    let (phase, state) = until(&format!("pod {name} to end"), PATIENCE, || async {
        let pod = pods.get(name).await?;
        let phase = phase(&pod);
        Ok(match status(&pod).and_then(|status| status.state.clone()) {
            Some(ContainerState {
                terminated: Some(state),
                ..
            }) if phase == "Succeeded" || phase == "Failed" => Ok((phase, state)),
            state => Err(format!("{phase} {}", waiting(state.as_ref()))),
        })
    })
    .await?;
    Ok(Ended {
        phase,
        state,
        log: log(client, ns, name).await?,
    })
}

/// Waits until the pod is ready, and returns it.
///
/// # Errors
/// When it does not become ready, or ends.
pub async fn until_ready(client: &Client, ns: &str, name: &str) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), ns);
    until(&format!("pod {name} to be ready"), PATIENCE, || async {
        let pod = pods.get(name).await?;
        let phase = phase(&pod);
        if phase == "Failed" || phase == "Succeeded" {
            bail!(
                "pod {name} ended: {:?}",
                status(&pod).and_then(|status| status.state.as_ref())
            );
        }
        let state = waiting(status(&pod).and_then(|status| status.state.as_ref()));
        Ok(if is_ready(&pod) {
            Ok(pod)
        } else {
            Err(format!("{phase} {state}"))
        })
    })
    .await
}

/// Everything the pod's container wrote so far.
///
/// # Errors
/// When the API server or the kubelet does not answer.
pub async fn log(client: &Client, ns: &str, name: &str) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), ns);
    let params = LogParams {
        container: Some(CONTAINER.to_owned()),
        ..LogParams::default()
    };
    Ok(pods.logs(name, &params).await?)
}

/// Waits until the pod has written at least two lines more than `lines`: it is alive, and it is heard.
///
/// # Errors
/// When it stays silent.
pub async fn until_says_more(client: &Client, ns: &str, name: &str, lines: usize) -> Result<()> {
    until(&format!("{name} to say more"), PATIENCE, || async {
        let now = log(client, ns, name).await?.lines().count();
        Ok(if now >= lines + 2 {
            Ok(())
        } else {
            Err(format!("{now} lines, {lines} before"))
        })
    })
    .await
}

/// True when the pod's condition says so.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    pod.status
        .as_ref()
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// The status of the pod's container.
#[must_use]
pub fn status(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status
        .as_ref()?
        .container_statuses
        .as_ref()?
        .iter()
        .find(|c| c.name == CONTAINER)
}

/// The container's id without the `containerd://` in front of it.
///
/// # Errors
/// When it has none yet.
pub fn container_id(pod: &Pod) -> Result<&str> {
    let id = status(pod)
        .and_then(|status| status.container_id.as_deref())
        .unwrap_or_default();
    id.strip_prefix("containerd://")
        .with_context(|| format!("no container of containerd: {id:?}"))
}

fn phase(pod: &Pod) -> String {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.clone())
        .unwrap_or_default()
}

fn waiting(state: Option<&ContainerState>) -> String {
    state.map_or_else(
        || "no container yet".to_owned(),
        |state| format!("{state:?}"),
    )
}
