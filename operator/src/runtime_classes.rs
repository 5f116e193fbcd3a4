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

use std::collections::BTreeMap;
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
    let mut wanted: BTreeMap<String, RuntimeClass> = BTreeMap::new();
    for shim in shims {
        for handler in &shim.spec.handlers {
            let users = handler
                .runtime_class
                .create
                .then(|| for_users(shim, handler));
            let canaries = any_node.then(|| for_canaries(&handler.name));
            for class in users.into_iter().chain(canaries) {
                wanted.entry(class.name_any()).or_insert(class);
            }
        }
    }
    let mut changes = Vec::new();
    for class in found {
        let name = class.name_any();
        if wanted.contains_key(&name) {
            continue;
        }
        if is_kept(class, shims, nodes) {
            wanted.insert(name, retired(class));
        } else if is_ours(class) {
            changes.push(Change::Delete(name));
        }
    }
    for (name, want) in wanted {
        match found.iter().find(|class| class.name_any() == name) {
            Some(class) if !is_ours(class) => {}
            Some(class) if holds(class, &want) => {}
            // The handler cannot be changed; the next round makes it anew.
            Some(class) if class.handler != want.handler => {
                changes.push(Change::Delete(name));
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
mod tests;
