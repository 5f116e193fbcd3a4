//! What an uninstall does first: deletes every `Shim` and waits until the nodes are clean.
//!
//! The running operator does the work; this asks for it and tells how far it is. Run by the chart's
//! pre-delete hook, so what it writes ends up before the eyes of whoever uninstalls.

use std::time::Duration;

use anyhow::bail;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use slipway_crds::{NodeShim, Shim, conditions, labels};
use tokio::time::Instant;

use crate::args::CleanupArgs;

const PAUSE: Duration = Duration::from_secs(2);
/// How many times in a row nothing may be left: the operator may just have been about to make the default
/// `Shim` anew when its `ConfigMap` went.
const LOOKS: u32 = 2;
/// How many nodes a message names.
const NAMED: usize = 5;

/// Deletes every `Shim` and waits until they, and every `NodeShim`, are gone.
///
/// # Errors
/// When the API server cannot be asked, or when the nodes are not clean in time: says which and why.
pub async fn run(client: Client, args: &CleanupArgs) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(u64::from(args.timeout_seconds));
    if let Some(name) = args.default_shim.as_ref().filter(|name| !name.is_empty()) {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &args.namespace);
        gone_is_fine(maps.delete(name, &DeleteParams::default()).await)?;
    }
    let shims: Api<Shim> = Api::all(client.clone());
    let node_shims: Api<NodeShim> = Api::all(client.clone());
    let (mut clean, mut told) = (0, String::new());
    loop {
        let left = list(&shims).await?;
        for shim in &left {
            if shim.metadata.deletion_timestamp.is_none() {
                tracing::info!(shim = shim.name_any(), "deleting");
                let result = shims
                    .delete(&shim.name_any(), &DeleteParams::default())
                    .await;
                gone_is_fine(result)?;
            }
        }
        let nodes = list(&node_shims).await?;
        if left.is_empty() && nodes.is_empty() {
            clean += 1;
            if clean >= LOOKS {
                tracing::info!("every node is as it was before");
                return remove_classes(client).await;
            }
        } else {
            clean = 0;
        }
        let state = describe(&left, &nodes);
        if state != told {
            tracing::info!("{state}");
            told.clone_from(&state);
        }
        if Instant::now() >= deadline {
            bail!(
                "the nodes are not clean after {} s: {state}\n\n\
                 hint: end the pods named above and uninstall again, or leave the nodes as they are: \
                 helm uninstall --no-hooks",
                args.timeout_seconds
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The operator does this too, if it lives long enough.
async fn remove_classes(client: Client) -> anyhow::Result<()> {
    let classes: Api<RuntimeClass> = Api::all(client);
    let ours =
        ListParams::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::OPERATOR));
    for class in classes.list(&ours).await? {
        let result = classes
            .delete(&class.name_any(), &DeleteParams::default())
            .await;
        gone_is_fine(result)?;
    }
    Ok(())
}

/// All objects; none where the definition is gone already.
async fn list<K>(api: &Api<K>) -> Result<Vec<K>, kube::Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    match api.list(&ListParams::default()).await {
        Ok(all) => Ok(all.items),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn gone_is_fine<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        result => result.map(drop),
    }
}

/// What is left and what it waits for.
fn describe(shims: &[Shim], nodes: &[NodeShim]) -> String {
    if nodes.is_empty() {
        let names: Vec<_> = shims.iter().map(Shim::name_any).collect();
        return match names.len() {
            0 => "nothing is left; looking once more".to_owned(),
            _ => format!(
                "no node is left; Shims that wait for the operator: {}",
                names.join(", ")
            ),
        };
    }
    let named = nodes.iter().take(NAMED).map(|object| {
        let node = &object.spec.node_name;
        let status = object.status.as_ref();
        let why = status
            .and_then(|status| conditions::find(&status.conditions, conditions::PROGRESSING))
            .map(|condition| format!("{}: {}", condition.reason, condition.message));
        format!(
            "{node} ({})",
            why.unwrap_or_else(|| "not looked at yet".to_owned())
        )
    });
    let named: Vec<_> = named.collect();
    let more = match nodes.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} left: {}{more}", nodes.len(), named.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_is_named_with_what_it_waits_for() {
        let node = |name: &str| -> NodeShim {
            serde_json::from_value(json!({
                "metadata": {"name": format!("{name}.slipway")},
                "spec": {"nodeName": name, "shim": "slipway"},
                "status": {"conditions": [{
                    "type": "Progressing", "status": "True", "reason": "PodsRunning",
                    "message": "waits for pods that use the shim: shop/web", "lastTransitionTime": "2026-01-01T00:00:00Z",
                }]},
            }))
            .unwrap()
        };
        assert_eq!(
            describe(&[], &[node("a")]),
            "1 left: a (PodsRunning: waits for pods that use the shim: shop/web)"
        );
        let many: Vec<_> = (0..7).map(|n| node(&n.to_string())).collect();
        assert!(describe(&[], &many).ends_with("and 2 more"));
        let spec = json!({"source": {"bundled": {}}, "handlers": [{"name": "w"}]});
        let shim = Shim::new("slipway", serde_json::from_value(spec).unwrap());
        assert!(describe(&[shim], &[]).contains("wait for the operator: slipway"));
    }
}
