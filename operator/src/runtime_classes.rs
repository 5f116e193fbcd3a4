//! The `RuntimeClasses`: one per handler for users, one per handler for canaries.
//!
//! The users' ones exist as long as the operator runs, so that a pod that comes before the first node
//! is ready waits in the scheduler and not in a controller's back-off. They select proven nodes only.
//! The canaries' select none; they exist while there is a `NodeShim`.
//!
//! A class of the same name that someone else made is theirs. If its handler agrees it serves; if
//! not, that is said ([`conflicts`]) and nothing is overwritten. Where two `Shim`s want one of the same name,
//! the older has it. A `Shim` that is being deleted keeps its classes until its nodes are clean: pods are
//! found by them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::api::node::v1::{Overhead, RuntimeClass, Scheduling};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use slipway_crds::shim::{self, Handler};
use slipway_crds::{Shim, labels};
use tokio::sync::Notify;

use crate::context::Context;

const FIELD_MANAGER: &str = "slipway-operator";
const RESYNC: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_secs(10);

/// What a pod of our own shim takes beyond its containers: the pod process and the pause container
/// (0.3 MB measured; docs/floor.md), with room. CPU is not reserved: an idle pod takes none. Of other shims
/// nothing is known unless their `Shim` says it.
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

/// The older first: it was there when the other came.
pub fn by_age(shims: &mut [Arc<Shim>]) {
    shims.sort_by_key(|shim| {
        let made = shim.metadata.creation_timestamp.as_ref();
        (made.map(|time| time.0), shim.name_any())
    });
}

/// What is to change, given what there is. `shims` are in order of age.
#[must_use]
pub fn changes(shims: &[Arc<Shim>], any_node: bool, found: &[Arc<RuntimeClass>]) -> Vec<Change> {
    let mut wanted: Vec<RuntimeClass> = Vec::new();
    for shim in shims {
        for handler in &shim.spec.handlers {
            let users = handler
                .runtime_class
                .create
                .then(|| for_users(shim, handler));
            let canaries = any_node.then(|| for_canaries(&handler.name));
            for class in users.into_iter().chain(canaries) {
                if !wanted
                    .iter()
                    .any(|want| want.name_any() == class.name_any())
                {
                    wanted.push(class);
                }
            }
        }
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

/// What is wrong with `RuntimeClasses` of this shim that it does not have, one sentence each. `shims` are in
/// order of age.
#[must_use]
pub fn conflicts(shim: &Shim, shims: &[Arc<Shim>], found: &[Arc<RuntimeClass>]) -> Vec<String> {
    let users = shim
        .spec
        .handlers
        .iter()
        .filter(|handler| handler.runtime_class.create);
    let names = users
        .clone()
        .map(|handler| (handler.class_name().to_owned(), &handler.name));
    let canaries = shim.spec.handlers.iter();
    let canaries = canaries.map(|handler| (canary_class(&handler.name), &handler.name));
    let theirs = names.chain(canaries).filter_map(|(name, handler)| {
        let class = found.iter().find(|class| class.name_any() == name)?;
        (!is_ours(class) && class.handler != *handler).then(|| {
            format!(
                "RuntimeClass {name} has handler {}, not {handler}, and is not ours: rename it, or name another",
                class.handler
            )
        })
    });
    let older = users.filter_map(|handler| {
        let name = handler.class_name();
        let owner = shims
            .iter()
            .find(|other| makes(other, name))
            .filter(|owner| owner.name_any() != shim.name_any())?;
        Some(format!(
            "RuntimeClass {name} is made for Shim {}: give runtimeClass another name here, or say create: false",
            owner.name_any()
        ))
    });
    theirs.chain(older).collect()
}

fn makes(shim: &Shim, class: &str) -> bool {
    let mut handlers = shim.spec.handlers.iter();
    handlers.any(|handler| handler.runtime_class.create && handler.class_name() == class)
}

/// Names of the `RuntimeClasses` whose pods run through one of these handlers.
#[must_use]
pub fn using(handlers: &[String], found: &[Arc<RuntimeClass>]) -> Vec<String> {
    found
        .iter()
        .filter(|class| handlers.contains(&class.handler))
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
    for change in changes(&context.caches.shims_by_age(), any_node, &found) {
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
        overhead: None,
        scheduling: None,
    }
}

fn for_users(shim: &Shim, handler: &Handler) -> RuntimeClass {
    let name = shim.name_any();
    let mut class = base(
        handler.class_name().to_owned(),
        &handler.name,
        labels::COMPONENT_RUNTIME_CLASS,
    );
    class
        .labels_mut()
        .insert(labels::SHIM.to_owned(), name.clone());
    class.overhead = overhead(shim, handler);
    let tolerations: Vec<_> = handler
        .runtime_class
        .tolerations
        .iter()
        .map(toleration)
        .collect();
    class.scheduling = Some(Scheduling {
        node_selector: Some(BTreeMap::from([(
            labels::shim_label(&name),
            labels::READY.to_owned(),
        )])),
        tolerations: Some(tolerations).filter(|tolerations| !tolerations.is_empty()),
    });
    class
}

fn overhead(shim: &Shim, handler: &Handler) -> Option<Overhead> {
    let fixed: BTreeMap<_, _> = match &handler.runtime_class.overhead {
        Some(overhead) => overhead
            .pod_fixed
            .iter()
            .map(|(resource, amount)| (resource.clone(), Quantity(amount.clone())))
            .collect(),
        None if shim.spec.source.kind() == "bundled" => {
            BTreeMap::from([("memory".to_owned(), Quantity(OVERHEAD_MEMORY.to_owned()))])
        }
        None => BTreeMap::new(),
    };
    (!fixed.is_empty()).then_some(Overhead {
        pod_fixed: Some(fixed),
    })
}

fn toleration(from: &shim::Toleration) -> Toleration {
    Toleration {
        key: from.key.clone(),
        operator: from.operator.map(|operator| operator.as_str().to_owned()),
        value: from.value.clone(),
        effect: from.effect.map(|effect| effect.as_str().to_owned()),
        toleration_seconds: from.toleration_seconds,
    }
}

fn for_canaries(handler: &str) -> RuntimeClass {
    base(canary_class(handler), handler, labels::COMPONENT_CANARY)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "every caller makes it on the spot"
    )]
    fn shim(name: &str, made: &str, handlers: Value) -> Arc<Shim> {
        let object = json!({
            "metadata": {"name": name, "creationTimestamp": made},
            "spec": {"source": {"bundled": {}}, "handlers": handlers},
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn slipway() -> Arc<Shim> {
        shim(
            "slipway",
            "2026-01-01T00:00:00Z",
            json!([{"name": "wasmtime"}]),
        )
    }

    fn users_class(shim: &Shim) -> RuntimeClass {
        for_users(shim, &shim.spec.handlers[0])
    }

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
        let shims = [slipway()];
        assert_eq!(names(&changes(&shims, false, &[])), ["apply wasmtime"]);
        assert_eq!(
            names(&changes(&shims, true, &[])),
            ["apply wasmtime", "apply slipway-canary-wasmtime"]
        );
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone() {
        let shims = [slipway()];
        let found = [
            Arc::new(users_class(&shims[0])),
            Arc::new(for_canaries("wasmtime")),
        ];
        assert_eq!(changes(&shims, true, &found), []);
        assert_eq!(
            names(&changes(&shims, false, &found)),
            ["delete slipway-canary-wasmtime"]
        );
        assert_eq!(changes(&[], false, &found).len(), 2, "no Shim, no classes");
    }

    #[test]
    fn a_users_class_is_never_overwritten() {
        let shims = [slipway()];
        let agrees = [theirs("wasmtime", "wasmtime")];
        assert_eq!(changes(&shims, false, &agrees), []);
        assert_eq!(conflicts(&shims[0], &shims, &agrees), Vec::<String>::new());
        let differs = [theirs("wasmtime", "other")];
        assert_eq!(changes(&shims, false, &differs), []);
        assert!(
            conflicts(&shims[0], &shims, &differs)[0].contains("has handler other, not wasmtime")
        );
    }

    #[test]
    fn drift_and_retired_handlers_are_settled() {
        let shims = [slipway()];
        let mut drifted = users_class(&shims[0]);
        drifted.scheduling = None;
        let retired = shim(
            "slipway",
            "2026-01-01T00:00:00Z",
            json!([{"name": "retired"}]),
        );
        let found = [Arc::new(drifted), Arc::new(users_class(&retired))];
        assert_eq!(
            names(&changes(&shims, false, &found)),
            ["delete retired", "apply wasmtime"]
        );
        let mut other = users_class(&shims[0]);
        other.handler = "old".into();
        assert_eq!(
            names(&changes(&shims, false, &[Arc::new(other)])),
            ["delete wasmtime"]
        );
    }

    #[test]
    fn a_class_says_what_its_handler_says() {
        let fast = shim(
            "fast",
            "2026-01-01T00:00:00Z",
            json!([{"name": "spin", "runtimeClass": {
                "name": "wasmtime-spin-v2",
                "overhead": {"podFixed": {"memory": "20Mi"}},
                "tolerations": [{"key": "wasm", "operator": "Exists", "effect": "NoSchedule"}],
            }}]),
        );
        let class = serde_json::to_value(users_class(&fast)).unwrap();
        assert_eq!(class["metadata"]["name"], "wasmtime-spin-v2");
        assert_eq!(class["handler"], "spin");
        assert_eq!(class["overhead"]["podFixed"]["memory"], "20Mi");
        assert_eq!(
            class["scheduling"]["nodeSelector"]["slipway.dev/fast"],
            "ready"
        );
        assert_eq!(class["scheduling"]["tolerations"][0]["key"], "wasm");
        let none = json!([{"name": "spin", "runtimeClass": {"create": false}}]);
        let none = [shim("none", "2026-01-01T00:00:00Z", none)];
        assert_eq!(changes(&none, false, &[]), []);
    }

    #[test]
    fn the_older_shim_has_the_class() {
        let young = shim(
            "a-young",
            "2026-02-01T00:00:00Z",
            json!([{"name": "wasmtime"}]),
        );
        let mut shims = [young.clone(), slipway()];
        by_age(&mut shims);
        let made = changes(&shims, false, &[]);
        let [Change::Apply(class)] = &made[..] else {
            panic!("{made:?}");
        };
        assert_eq!(class.labels()[labels::SHIM], "slipway");
        assert_eq!(conflicts(&shims[0], &shims, &[]), Vec::<String>::new());
        assert!(conflicts(&young, &shims, &[])[0].contains("is made for Shim slipway"));
    }

    #[test]
    fn pods_are_found_by_handler_whatever_the_class_is_called() {
        let found = [theirs("my-wasm", "wasmtime"), theirs("gvisor", "runsc")];
        assert_eq!(using(&["wasmtime".into()], &found), ["my-wasm"]);
    }
}
