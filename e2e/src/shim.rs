//! `Shim`s, read and written as any client without our types does.

use std::time::Duration;

use anyhow::{Result, bail};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::nodeshim;
use crate::wait::until;

/// All `Shim`s.
#[must_use]
pub fn api(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("slipway.dev", "v1alpha1", "Shim");
    Api::all_with(client.clone(), &ApiResource::from_gvk(&kind))
}

/// The spec of a `Shim` that puts the bundled shim on one node, under a handler of this name.
#[must_use]
pub fn bundled(node: &str, handler: &str) -> Value {
    json!({
        "source": { "bundled": {} },
        "nodeSelector": { "matchLabels": { "kubernetes.io/hostname": node } },
        "handlers": [{ "name": handler }],
    })
}

/// Makes the `Shim`, or changes it, as `kubectl apply --server-side` does.
///
/// # Errors
/// With the API server's sentence when it refuses.
pub async fn apply(client: &Client, name: &str, spec: &Value) -> Result<()> {
    let shim = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Shim",
        "metadata": { "name": name }, "spec": spec,
    });
    let params = PatchParams::apply("e2e").force();
    api(client)
        .patch(name, &params, &Patch::Apply(&shim))
        .await?;
    Ok(())
}

/// Waits until a condition of the `Shim`, of its present generation, has this reason. Returns its message.
///
/// # Errors
/// When it has not in time; what it says instead is in the message.
pub async fn until_reason(
    client: &Client,
    name: &str,
    condition: &str,
    reason: &str,
    patience: Duration,
) -> Result<String> {
    let what = format!("{condition} of Shim {name} to be {reason}");
    until(&what, patience, || async {
        let Some(shim) = api(client).get_opt(name).await? else {
            return Ok(Err("there is no such Shim".to_owned()));
        };
        let current =
            shim.data["status"]["observedGeneration"].as_i64() == shim.metadata.generation;
        Ok(match nodeshim::condition(&shim, condition) {
            Some((_, found, message)) if current && found == reason => Ok(message),
            found => Err(format!("current: {current}, {found:?}")),
        })
    })
    .await
}

/// Deletes the `Shim`, if it is there, and waits until it is gone: then its nodes are clean.
///
/// # Errors
/// When it is still there; why is in the message.
pub async fn delete(client: &Client, name: &str, patience: Duration) -> Result<()> {
    match api(client).delete(name, &DeleteParams::default()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => bail!(error),
    }
    until(&format!("Shim {name} to be gone"), patience, || async {
        Ok(match api(client).get_opt(name).await? {
            None => Ok(()),
            Some(shim) => Err(format!("{:?}", nodeshim::condition(&shim, "Ready"))),
        })
    })
    .await
}
