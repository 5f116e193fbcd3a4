//! The `RuntimeClasses`: one per handler for users, one per handler for canaries.
//!
//! The users' ones exist as long as the operator runs, so that a pod that comes before the first node
//! is ready waits in the scheduler and not in a controller's back-off. They select proven nodes only.
//! The canaries' select none; they exist while there is a `NodeShim`. One whose handler is not asked for any more goes when
//! no node serves that handler: pods use it until then. New pods through it are not placed.
//!
//! A class of the same name that someone else made is theirs. If its handler agrees it serves; if
//! not, that is said ([`conflicts`]) and nothing is overwritten. Where two `Shim`s want one of the same name,
//! the older has it. A `Shim` that is being deleted keeps its classes until its nodes are clean: pods are
//! found by them.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use slipway_crds::{NodeShim, Shim, labels};
use tokio::sync::Notify;

use crate::context::Context;

mod objects;

pub use objects::canary_class;
use objects::{for_canaries, for_users, retired};

const FIELD_MANAGER: &str = "slipway-operator";
const RESYNC: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_secs(10);

/// What to do to the `RuntimeClasses`.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Apply this one.
    Apply(Box<RuntimeClass>),
    /// Delete the one of this name.
    Delete(String),
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
pub fn changes(
    shims: &[Arc<Shim>],
    nodes: &[Arc<NodeShim>],
    found: &[Arc<RuntimeClass>],
) -> Vec<Change> {
    let any_node = !nodes.is_empty();
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
    for class in found {
        let is_wanted = wanted
            .iter()
            .any(|want| want.name_any() == class.name_any());
        if !is_wanted && is_kept(class, shims, nodes) {
            wanted.push(retired(class));
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
    let nodes = context.caches.node_shims.state();
    for change in changes(&context.caches.shims_by_age(), &nodes, &found) {
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

/// Whether a node still serves the handler of this class, which its `Shim` does not name any more: there are pods that use
/// it, and the kubelet makes none of their containers again without it.
fn is_kept(class: &RuntimeClass, shims: &[Arc<Shim>], nodes: &[Arc<NodeShim>]) -> bool {
    let users = class.labels().get(labels::COMPONENT).map(String::as_str)
        == Some(labels::COMPONENT_RUNTIME_CLASS);
    let Some(shim) = class
        .labels()
        .get(labels::SHIM)
        .filter(|_| users && is_ours(class))
    else {
        return false;
    };
    let named = shims
        .iter()
        .filter(|other| other.name_any() == *shim)
        .flat_map(|shim| &shim.spec.handlers)
        .any(|handler| handler.name == class.handler);
    let serves = |node: &&Arc<NodeShim>| {
        let status = node.status.as_ref();
        let installed = status.and_then(|status| status.installed.as_ref());
        node.spec.shim == *shim
            && installed.is_some_and(|installed| installed.handlers.contains(&class.handler))
    };
    !named && nodes.iter().any(|node| serves(&node))
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::objects::base;
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

    fn node(handlers: &[&str]) -> Arc<NodeShim> {
        let object = json!({
            "metadata": {"name": "worker-slipway"},
            "spec": {"nodeName": "worker", "shim": "slipway"},
            "status": {"installed": {"handlers": handlers}},
        });
        Arc::new(serde_json::from_value(object).unwrap())
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
        assert_eq!(names(&changes(&shims, &[], &[])), ["apply wasmtime"]);
        assert_eq!(
            names(&changes(&shims, &[node(&[])], &[])),
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
        assert_eq!(changes(&shims, &[node(&[])], &found), []);
        assert_eq!(
            names(&changes(&shims, &[], &found)),
            ["delete slipway-canary-wasmtime"]
        );
        assert_eq!(changes(&[], &[], &found).len(), 2, "no Shim, no classes");
    }

    #[test]
    fn a_users_class_is_never_overwritten() {
        let shims = [slipway()];
        let agrees = [theirs("wasmtime", "wasmtime")];
        assert_eq!(changes(&shims, &[], &agrees), []);
        assert_eq!(conflicts(&shims[0], &shims, &agrees), Vec::<String>::new());
        let differs = [theirs("wasmtime", "other")];
        assert_eq!(changes(&shims, &[], &differs), []);
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
            names(&changes(&shims, &[], &found)),
            ["delete retired", "apply wasmtime"]
        );
        let mut other = users_class(&shims[0]);
        other.handler = "old".into();
        assert_eq!(
            names(&changes(&shims, &[], &[Arc::new(other)])),
            ["delete wasmtime"]
        );
    }

    #[test]
    fn the_class_of_a_retired_handler_stays_for_the_pods_that_use_it_and_takes_no_more() {
        let old = shim(
            "slipway",
            "2026-01-01T00:00:00Z",
            json!([{"name": "old", "runtimeClass": {"overhead": {"podFixed": {"memory": "9Mi"}}}}]),
        );
        let shims = [slipway()];
        let found = [
            Arc::new(users_class(&old)),
            Arc::new(for_canaries("old")),
            Arc::new(users_class(&shims[0])),
            Arc::new(for_canaries("wasmtime")),
        ];
        let serves = [node(&["wasmtime", "old"])];
        let made = changes(&shims, &serves, &found);
        assert_eq!(names(&made), ["delete slipway-canary-old", "apply old"]);
        let Change::Apply(kept) = &made[1] else {
            panic!("{made:?}");
        };
        assert_eq!(kept.overhead, found[0].overhead);
        let selector = kept.scheduling.as_ref().unwrap().node_selector.as_ref();
        assert_eq!(selector.unwrap()[labels::RETIRED], "old");

        let found = [
            Arc::new((**kept).clone()),
            found[2].clone(),
            found[3].clone(),
        ];
        assert_eq!(changes(&shims, &serves, &found), []);
        assert_eq!(
            names(&changes(&shims, &[node(&["wasmtime"])], &found)),
            ["delete old"]
        );
        // Asked for again.
        assert_eq!(
            names(&changes(&[old], &serves, &found[..1])),
            ["apply old", "apply slipway-canary-old"]
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
        assert_eq!(changes(&none, &[], &[]), []);
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
        let made = changes(&shims, &[], &[]);
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
