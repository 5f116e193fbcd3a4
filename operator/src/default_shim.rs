//! The `Shim` that comes with the chart: `slipway`, made from a `ConfigMap` that holds what the values say.
//!
//! Helm cannot make it itself: it would have to look the kind up before it has made the definition. It is
//! applied when what the values say has changed, so an edit by hand stands until then, as it does for all
//! that Helm makes. A `Shim` of this name that someone else made is theirs. One whose `ConfigMap` is gone is
//! left alone: that is how an uninstall keeps it from coming back, and whoever wants it gone deletes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use slipway_crds::{BUNDLED_SHIM, Shim, ShimSpec, labels, names};
use tokio::sync::Notify;

use crate::context::Context;

/// Key in the `ConfigMap`.
const KEY: &str = "spec.json";
const FIELD_MANAGER: &str = "slipway-operator-default";
const RESYNC: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(5);

/// Why the default `Shim` cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the `ConfigMap` holds is no specification.
    #[error("ConfigMap {name}: {KEY} is no specification of a Shim: {source}")]
    Malformed {
        /// The `ConfigMap`.
        name: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The API server will not have it.
    #[error("Shim {BUNDLED_SHIM}: {0}")]
    Api(#[from] kube::Error),
}

/// Applies it until that has succeeded once: without it nodes would be taken for nobody's and be cleaned.
pub async fn first(context: &Context) {
    while let Err(error) = settle(context).await {
        tracing::warn!(%error, "the default Shim cannot be applied; nothing is done before it is");
        tokio::time::sleep(RETRY).await;
    }
}

/// Keeps it as it is to be, until the task is dropped.
pub async fn run(context: Arc<Context>, trigger: Arc<Notify>) {
    loop {
        let wait = match settle(&context).await {
            Ok(()) => RESYNC,
            Err(error) => {
                context.metrics.failed("default_shim", "Api");
                tracing::warn!(%error, "the default Shim cannot be applied");
                RETRY
            }
        };
        let _elapsed = tokio::time::timeout(wait, trigger.notified()).await;
    }
}

/// Applies it, if the values say something new.
///
/// # Errors
/// When the `ConfigMap` cannot be understood, or the API server will not have the object.
pub async fn settle(context: &Context) -> Result<(), Error> {
    let Some(name) = &context.settings.default_shim else {
        return Ok(());
    };
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let Some(map) = maps.get_opt(name).await? else {
        return Ok(());
    };
    let text = map.data.as_ref().and_then(|data| data.get(KEY));
    let text = text.map(String::as_str).unwrap_or_default();
    let spec: ShimSpec = serde_json::from_str(text).map_err(|source| Error::Malformed {
        name: name.clone(),
        source,
    })?;
    let shims: Api<Shim> = Api::all(context.client.clone());
    let found = shims.get_opt(BUNDLED_SHIM).await?;
    let Some(wanted) = wanted(spec, found.as_ref()) else {
        return Ok(());
    };
    tracing::info!("applying the default Shim");
    // Forced: what the values say wins over an edit by hand once they say something new.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    shims
        .patch(BUNDLED_SHIM, &params, &Patch::Apply(&wanted))
        .await?;
    Ok(())
}

/// What is to be applied, if anything is.
fn wanted(spec: ShimSpec, found: Option<&Shim>) -> Option<Shim> {
    let mut shim = Shim::new(BUNDLED_SHIM, spec);
    let said = json!(shim.spec).to_string();
    let applied = names::hash(&[&said], 16);
    if let Some(found) = found {
        let ours = found
            .labels()
            .get(labels::MANAGED_BY)
            .is_some_and(|by| by == labels::OPERATOR);
        let same = found.annotations().get(labels::APPLIED) == Some(&applied);
        if !ours || same || found.metadata.deletion_timestamp.is_some() {
            return None;
        }
    }
    shim.metadata.labels = Some(BTreeMap::from([(
        labels::MANAGED_BY.to_owned(),
        labels::OPERATOR.to_owned(),
    )]));
    shim.metadata.annotations = Some(BTreeMap::from([(labels::APPLIED.to_owned(), applied)]));
    Some(shim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(handler: &str) -> ShimSpec {
        serde_json::from_value(json!({"source": {"bundled": {}}, "handlers": [{"name": handler}]}))
            .unwrap()
    }

    #[test]
    fn it_follows_the_values_and_nothing_else() {
        let made = wanted(spec("wasmtime"), None).unwrap();
        assert_eq!(wanted(spec("wasmtime"), Some(&made)), None, "as it is");
        let mut edited = made.clone();
        edited.spec = spec("other");
        assert_eq!(wanted(spec("wasmtime"), Some(&edited)), None, "edits stand");
        let next = wanted(spec("spin"), Some(&edited)).unwrap();
        assert_eq!(next.spec, spec("spin"), "until the values change");
    }

    #[test]
    fn one_of_someone_else_and_one_that_leaves_are_left_alone() {
        let theirs = Shim::new(BUNDLED_SHIM, spec("mine"));
        assert_eq!(wanted(spec("wasmtime"), Some(&theirs)), None);
        let mut leaves = wanted(spec("wasmtime"), None).unwrap();
        leaves.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(wanted(spec("spin"), Some(&leaves)), None);
    }
}
