//! Who among the operator's replicas does the work.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, Client};

use crate::names;
use crate::node::Inside;
use crate::wait::until;

const NAME: &str = "slipway-operator";

/// The name of the pod that holds the Lease.
///
/// # Errors
/// When nobody holds it.
pub async fn holder(client: &Client) -> Result<String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), names::NAMESPACE);
    let spec = leases.get(NAME).await?.spec.unwrap_or_default();
    spec.holder_identity
        .filter(|holder| !holder.is_empty())
        .context("nobody holds the Lease")
}

/// Waits until somebody holds it.
///
/// # Errors
/// When nobody does in time.
pub async fn until_held(client: &Client) -> Result<String> {
    until("a leader", Duration::from_secs(60), || async {
        Ok(holder(client).await.map_err(|error| format!("{error:#}")))
    })
    .await
}

/// Ends the operator in this pod as a crash does, without a chance to release the Lease, and takes the pod away, or the
/// kubelet would start it again under the same name.
///
/// # Errors
/// When it does not run.
pub async fn kill(client: &Client, pod: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), names::NAMESPACE);
    let found = pods.get(pod).await?;
    let node = found.spec.and_then(|spec| spec.node_name);
    let inside = Inside::of(&node.with_context(|| format!("{pod} is on no node"))?);
    let statuses = found.status.and_then(|status| status.container_statuses);
    let id = statuses
        .iter()
        .flatten()
        .find_map(|status| {
            status
                .container_id
                .as_deref()?
                .strip_prefix("containerd://")
        })
        .with_context(|| format!("{pod} has no container"))?;
    let pid = inside.process(id).await?.pid;
    inside.bash(&format!("kill -KILL {pid}")).await?;
    pods.delete(pod, &DeleteParams::default().grace_period(0))
        .await?;
    Ok(())
}
