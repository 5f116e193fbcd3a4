//! kube-proxy of the test bed.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::{Api, Client};

use crate::wait::until;

const NAME: &str = "kube-proxy";

/// Starts kube-proxy anew on every node, and waits until it runs.
///
/// Taking a release away and putting it back at once was seen to fail a sync of its nftables mode (Kubernetes 1.36.3:
/// `delete element ip kube-proxy hairpin-connections`: "No such file or directory"), after which the node had no
/// services until kube-proxy was started anew.
///
/// # Errors
/// When it does not run on every node in time.
pub async fn restart(client: &Client) -> Result<()> {
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), "kube-system");
    sets.restart(NAME).await?;
    until(NAME, Duration::from_secs(120), || async {
        let set = sets.get(NAME).await?;
        let status = set.status.clone().unwrap_or_default();
        let wanted = status.desired_number_scheduled;
        let current = status.observed_generation >= set.metadata.generation;
        let updated = status.updated_number_scheduled.unwrap_or_default();
        Ok(
            if current && updated == wanted && status.number_ready == wanted {
                Ok(())
            } else {
                Err(format!(
                    "{updated} of {wanted} updated, {} ready",
                    status.number_ready
                ))
            },
        )
    })
    .await
}
