//! The pod that watches over a node's files.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client};

use crate::names;
use crate::pods::PATIENCE;
use crate::wait::until;

/// What it logs once it has looked at everything.
const WATCHES: &str = "watching over";

/// Waits until a watcher of the node has seen it as it is now.
///
/// # Errors
/// When none has in time.
pub async fn until_watching(client: &Client, node: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), names::NAMESPACE);
    let here = ListParams::default()
        .labels("app.kubernetes.io/component=watch")
        .fields(&format!("spec.nodeName={node}"));
    until(&format!("a watcher on {node}"), PATIENCE, || async {
        let found = pods.list(&here).await?;
        let mut staying = found
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let Some(name) = staying.find_map(|pod| pod.metadata.name.as_deref()) else {
            return Ok(Err("there is none".to_owned()));
        };
        Ok(match pods.logs(name, &LogParams::default()).await {
            Ok(log) if log.contains(WATCHES) => Ok(()),
            Ok(log) => Err(format!("{name} says {log:?}")),
            Err(error) => Err(format!("{name}: {error}")),
        })
    })
    .await
}
