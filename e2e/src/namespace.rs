//! A namespace of a test's own, gone with everything in it when the test is over.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(90);
const LABEL: &str = "slipway.dev/e2e";

/// Makes a namespace and waits until pods can be made in it.
///
/// # Errors
/// When the API server refuses, or the default service account does not come.
pub async fn create(client: &Client, test: &str) -> Result<String> {
    let spaces: Api<Namespace> = Api::all(client.clone());
    let made = spaces
        .create(
            &PostParams::default(),
            &Namespace {
                metadata: ObjectMeta {
                    generate_name: Some(prefix(test)),
                    labels: Some(BTreeMap::from([(LABEL.to_owned(), "true".to_owned())])),
                    ..ObjectMeta::default()
                },
                ..Namespace::default()
            },
        )
        .await?;
    let name = made.metadata.name.unwrap_or_default();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &name);
    until("the default service account", PATIENCE, || async {
        Ok(accounts
            .get_opt("default")
            .await?
            .ok_or_else(|| "none yet".to_owned()))
    })
    .await?;
    Ok(name)
}

/// Deletes the namespace and waits until its pods are gone: the next test may reconfigure their node.
///
/// # Errors
/// When a pod does not end.
pub async fn delete(client: &Client, name: &str) -> Result<()> {
    let spaces: Api<Namespace> = Api::all(client.clone());
    spaces.delete(name, &DeleteParams::background()).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), name);
    // Pods are deleted with their grace period; these tests have nothing to save.
    let at_once = DeleteParams::default().grace_period(1);
    pods.delete_collection(&at_once, &ListParams::default())
        .await?;
    until("the pods of a test to be gone", PATIENCE, || async {
        let left = pods.list(&ListParams::default()).await?.items;
        let names: Vec<_> = left
            .iter()
            .filter_map(|pod| pod.metadata.name.as_deref())
            .collect();
        Ok(if names.is_empty() {
            Ok(())
        } else {
            Err(format!("still there: {names:?}"))
        })
    })
    .await
}

/// Deletes the namespaces that a killed run left.
///
/// # Errors
/// When the API server refuses.
pub async fn sweep(client: &Client) -> Result<()> {
    let spaces: Api<Namespace> = Api::all(client.clone());
    let ours = ListParams::default().labels(&format!("{LABEL}=true"));
    for space in spaces.list(&ours).await? {
        let name = space.metadata.name.unwrap_or_default();
        match spaces.delete(&name, &DeleteParams::background()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// `e2e-<test>-`, short enough for five random characters to fit behind it (a DNS label has 63).
fn prefix(test: &str) -> String {
    let mut name = format!("e2e-{}", test.replace('_', "-"));
    name.truncate(52);
    format!("{}-", name.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_test_name_still_makes_a_label() {
        assert_eq!(prefix("label_path"), "e2e-label-path-");
        assert!(prefix(&"very_long_".repeat(9)).len() <= 58);
    }
}
