//! The `RuntimeClasses`: one per handler for users, one per handler for canaries.
//!
//! The users' ones exist as long as the operator runs, so that a pod that comes before the first node
//! is ready waits in the scheduler and not in a controller's back-off. They select proven nodes only.
//! The canaries' select none; they exist while there is a `NodeShim`.
//!
//! A class of the same name that someone else made is theirs. If its handler agrees it serves; if
//! not, that is said ([`conflicts`]) and nothing is overwritten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::node::v1::{Overhead, RuntimeClass, Scheduling};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use slipway_crds::labels;
use tokio::sync::Notify;

use crate::context::Context;
use crate::settings::ShimSettings;

const FIELD_MANAGER: &str = "slipway-operator";
const RESYNC: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_secs(10);

/// What a pod takes beyond its containers: the shim's pod process and the pause container
/// (0.3 MB measured; docs/floor.md), with room. CPU is not reserved: an idle pod takes none.
const OVERHEAD_MEMORY: &str = "2Mi";

/// What to do to the `RuntimeClasses`.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Apply this one.
    Apply(Box<RuntimeClass>),
    /// Delete the one of this name.
    Delete(String),
}

/// Name of the `RuntimeClass` of canaries through `handler`.
#[must_use]
pub fn canary_class(handler: &str) -> String {
    format!("slipway-canary-{handler}")
}

/// What is to change, given what there is.
#[must_use]
pub fn changes(shim: &ShimSettings, any_node: bool, found: &[Arc<RuntimeClass>]) -> Vec<Change> {
    let mut wanted: Vec<RuntimeClass> = shim
        .handlers
        .iter()
        .map(|handler| for_users(shim, handler))
        .collect();
    if any_node {
        wanted.extend(shim.handlers.iter().map(|handler| for_canaries(handler)));
    }
    let by_name = |name: &str| found.iter().find(|class| class.name_any() == name);
    let stale = found
        .iter()
        .filter(|class| {
            is_ours(class)
                && !wanted
                    .iter()
                    .any(|want| want.name_any() == class.name_any())
        })
        .map(|class| Change::Delete(class.name_any()));
    let mut changes: Vec<_> = stale.collect();
    for want in wanted {
        match by_name(&want.name_any()) {
            Some(class) if !is_ours(class) => {}
            Some(class) if holds(class, &want) => {}
            // The handler cannot be changed; the next round makes it anew.
            Some(class) if class.handler != want.handler => {
                changes.push(Change::Delete(want.name_any()));
            }
            _ => changes.push(Change::Apply(Box::new(want))),
        }
    }
    changes
}

/// What is wrong with `RuntimeClasses` that are not ours, one sentence each.
#[must_use]
pub fn conflicts(shim: &ShimSettings, found: &[Arc<RuntimeClass>]) -> Vec<String> {
    let names = shim
        .handlers
        .iter()
        .flat_map(|handler| [(handler.clone(), handler), (canary_class(handler), handler)]);
    names
        .filter_map(|(name, handler)| {
            let class = found.iter().find(|class| class.name_any() == name)?;
            (!is_ours(class) && class.handler != *handler).then(|| {
                format!(
                    "RuntimeClass {name} has handler {}, not {handler}, and is not ours: rename it, or name another handler",
                    class.handler
                )
            })
        })
        .collect()
}

/// Names of the `RuntimeClasses` whose pods run through one of the shim's handlers.
#[must_use]
pub fn using(shim: &ShimSettings, found: &[Arc<RuntimeClass>]) -> Vec<String> {
    found
        .iter()
        .filter(|class| shim.handlers.contains(&class.handler))
        .map(|class| class.name_any())
        .collect()
}

/// Keeps the `RuntimeClasses` as they are to be, until the task is dropped.
pub async fn run(context: Arc<Context>, trigger: Arc<Notify>) {
    loop {
        let wait = match settle(&context).await {
            Ok(()) => RESYNC,
            Err(error) => {
                context.metrics.failed("runtime_classes", "Api");
                tracing::warn!(%error, "RuntimeClasses cannot be settled");
                RETRY
            }
        };
        let _elapsed = tokio::time::timeout(wait, trigger.notified()).await;
    }
}

async fn settle(context: &Context) -> Result<(), kube::Error> {
    let api: Api<RuntimeClass> = Api::all(context.client.clone());
    let found = context.caches.runtime_classes.state();
    let any_node = !context.caches.node_shims.is_empty();
    for change in changes(&context.settings.shim, any_node, &found) {
        match change {
            Change::Apply(class) => {
                tracing::info!(
                    name = class.name_any(),
                    handler = class.handler,
                    "applying RuntimeClass"
                );
                // Forced: the fields are ours since the label says that the object is.
                let params = PatchParams::apply(FIELD_MANAGER).force();
                api.patch(&class.name_any(), &params, &Patch::Apply(&*class))
                    .await?;
            }
            Change::Delete(name) => {
                tracing::info!(name, "deleting RuntimeClass");
                match api.delete(&name, &DeleteParams::default()).await {
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    result => drop(result?),
                }
            }
        }
    }
    Ok(())
}

fn is_ours(class: &RuntimeClass) -> bool {
    class
        .labels()
        .get(labels::MANAGED_BY)
        .is_some_and(|by| by == labels::OPERATOR)
}

/// Whether `class` says all that `want` says.
fn holds(class: &RuntimeClass, want: &RuntimeClass) -> bool {
    class.handler == want.handler
        && class.overhead == want.overhead
        && class.scheduling == want.scheduling
        && want
            .labels()
            .iter()
            .all(|(key, value)| class.labels().get(key) == Some(value))
}

fn base(name: String, handler: &str, component: &str) -> RuntimeClass {
    let own = [
        (labels::MANAGED_BY, labels::OPERATOR),
        (labels::COMPONENT, component),
    ];
    RuntimeClass {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(
                own.iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
            ),
            ..ObjectMeta::default()
        },
        handler: handler.to_owned(),
        overhead: Some(Overhead {
            pod_fixed: Some(BTreeMap::from([(
                "memory".to_owned(),
                Quantity(OVERHEAD_MEMORY.to_owned()),
            )])),
        }),
        scheduling: None,
    }
}

fn for_users(shim: &ShimSettings, handler: &str) -> RuntimeClass {
    RuntimeClass {
        scheduling: Some(Scheduling {
            node_selector: Some(BTreeMap::from([(
                labels::shim_label(&shim.name),
                labels::READY.to_owned(),
            )])),
            tolerations: None,
        }),
        ..base(handler.to_owned(), handler, labels::COMPONENT_RUNTIME_CLASS)
    }
}

fn for_canaries(handler: &str) -> RuntimeClass {
    base(canary_class(handler), handler, labels::COMPONENT_CANARY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::test_settings;

    fn theirs(name: &str, handler: &str) -> Arc<RuntimeClass> {
        let mut class = base(name.into(), handler, "x");
        class.metadata.labels = None;
        Arc::new(class)
    }

    fn names(changes: &[Change]) -> Vec<String> {
        changes
            .iter()
            .map(|change| match change {
                Change::Apply(class) => format!("apply {}", class.name_any()),
                Change::Delete(name) => format!("delete {name}"),
            })
            .collect()
    }

    #[test]
    fn users_classes_come_first_canaries_with_the_first_node() {
        let shim = test_settings().shim;
        assert_eq!(names(&changes(&shim, false, &[])), ["apply wasmtime"]);
        assert_eq!(
            names(&changes(&shim, true, &[])),
            ["apply wasmtime", "apply slipway-canary-wasmtime"]
        );
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone() {
        let shim = test_settings().shim;
        let found = [
            Arc::new(for_users(&shim, "wasmtime")),
            Arc::new(for_canaries("wasmtime")),
        ];
        assert_eq!(changes(&shim, true, &found), []);
        assert_eq!(
            names(&changes(&shim, false, &found)),
            ["delete slipway-canary-wasmtime"]
        );
    }

    #[test]
    fn a_users_class_is_never_overwritten() {
        let shim = test_settings().shim;
        let agrees = [theirs("wasmtime", "wasmtime")];
        assert_eq!(changes(&shim, false, &agrees), []);
        assert_eq!(conflicts(&shim, &agrees), Vec::<String>::new());
        let differs = [theirs("wasmtime", "other")];
        assert_eq!(changes(&shim, false, &differs), []);
        assert!(conflicts(&shim, &differs)[0].contains("has handler other, not wasmtime"));
    }

    #[test]
    fn drift_and_retired_handlers_are_settled() {
        let shim = test_settings().shim;
        let mut drifted = for_users(&shim, "wasmtime");
        drifted.scheduling = None;
        let found = [Arc::new(drifted), Arc::new(for_users(&shim, "retired"))];
        assert_eq!(
            names(&changes(&shim, false, &found)),
            ["delete retired", "apply wasmtime"]
        );
        let mut other = for_users(&shim, "wasmtime");
        other.handler = "old".into();
        assert_eq!(
            names(&changes(&shim, false, &[Arc::new(other)])),
            ["delete wasmtime"]
        );
    }

    #[test]
    fn pods_are_found_by_handler_whatever_the_class_is_called() {
        let shim = test_settings().shim;
        let found = [theirs("my-wasm", "wasmtime"), theirs("gvisor", "runsc")];
        assert_eq!(using(&shim, &found), ["my-wasm"]);
    }
}
