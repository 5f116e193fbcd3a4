//! One `Shim` at a time: how far its nodes are, told in its status; held until they are clean.
//!
//! The nodes themselves are the node controller's. Nothing is decided here that it depends on.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource as _, ResourceExt as _};
use serde_json::json;
use slipway_crds::{Shim, labels};

use crate::context::Context;
use crate::goal::Asked;
use crate::node_facts::NodeFacts;
use crate::shim_controller::plan::{Hold, Observed, Plan};
use crate::{runtime_classes, selection};

pub mod plan;

const NAME: &str = "shim";
const RESYNC: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_secs(5);
/// How soon a conflict is retried: as soon as the cache may have caught up.
const CATCH_UP: Duration = Duration::from_millis(500);
/// Each step of each node wakes its `Shim`; a few of them are told at once.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// Drives `Shim`s until the task is dropped.
pub async fn run(
    context: Arc<Context>,
    wakes: impl Stream<Item = ObjectRef<Shim>> + Send + 'static,
) {
    Controller::for_stream(stream::pending(), context.caches.shims.clone())
        .with_config(Config::default().debounce(DEBOUNCE))
        .reconcile_on(wakes)
        .run(reconcile, on_error, context)
        .for_each(|_| std::future::ready(()))
        .await;
}

/// Tells how far the nodes are, and lets a deleted object go when they are clean.
///
/// # Errors
/// When the API server will not have it.
pub async fn reconcile(shim: Arc<Shim>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let _measure = context.metrics.measure(NAME);
    let next = plan::plan(&observe(&shim, &context));
    match apply(&shim, &next, &context).await {
        Ok(()) => {}
        // Seen from a cache that was behind.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
            return Ok(Action::requeue(CATCH_UP));
        }
        Err(error) => return Err(error),
    }
    if next.hold != Hold::AsIs {
        // The status was not written, so nothing has happened yet that could be told.
        return Ok(Action::requeue(RESYNC));
    }
    let about: [ObjectReference; 1] = [shim.object_ref(&())];
    for event in &next.events {
        tracing::info!(shim = shim.name_any(), reason = ?event.reason, "{}", event.note);
        if let Err(error) = context.events.emit(event, &about).await {
            tracing::warn!(shim = shim.name_any(), %error, "event cannot be written");
        }
    }
    Ok(Action::requeue(RESYNC))
}

#[expect(clippy::needless_pass_by_value, reason = "kube's signature")]
fn on_error(shim: Arc<Shim>, error: &kube::Error, context: Arc<Context>) -> Action {
    context.metrics.failed(NAME, "Api");
    tracing::warn!(shim = shim.name_any(), %error, "status of the Shim cannot be written");
    Action::requeue(RETRY)
}

fn observe(shim: &Arc<Shim>, context: &Context) -> Observed {
    let caches = &context.caches;
    let settings = &context.settings;
    let now = Timestamp::now();
    let name = shim.name_any();
    let wants = |node: &NodeFacts| selection::wants(shim, node, settings.auto_provision);
    let nodes: Vec<NodeFacts> = caches
        .nodes
        .state()
        .iter()
        .map(|node| NodeFacts::of(node))
        .collect();
    let mut objects = caches.node_shims.state();
    objects.retain(|object| object.spec.shim == name);
    Observed {
        // In whole seconds, as the API keeps it.
        now: Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
        wanted: nodes
            .iter()
            .filter(|node| wants(node))
            .map(|node| node.name.clone())
            .collect(),
        touched: nodes.iter().any(|node| node.touched_by.contains(&name)),
        conflicts: runtime_classes::conflicts(
            shim,
            &caches.shims_by_age(),
            &caches.runtime_classes.state(),
        ),
        asked: Asked::by(shim, &settings.installer),
        objects,
        shim: Arc::clone(shim),
    }
}

async fn apply(shim: &Shim, plan: &Plan, context: &Context) -> Result<(), kube::Error> {
    let api: Api<Shim> = Api::all(context.client.clone());
    let name = shim.name_any();
    match plan.hold {
        Hold::AsIs => {}
        // The next look, which this change wakes, writes the status.
        Hold::Take => return patch_finalizers(&api, shim, true).await,
        Hold::Release => return patch_finalizers(&api, shim, false).await,
    }
    if shim.status.as_ref() == Some(&plan.status) {
        return Ok(());
    }
    let mut written = shim.clone();
    written.status = Some(plan.status.clone());
    api.replace_status(&name, &PostParams::default(), &written)
        .await
        .map(drop)
}

/// Under the version it was read at: the list of finalizers is replaced as a whole.
async fn patch_finalizers(api: &Api<Shim>, shim: &Shim, hold: bool) -> Result<(), kube::Error> {
    let mut finalizers: Vec<&str> = shim.finalizers().iter().map(String::as_str).collect();
    finalizers.retain(|finalizer| *finalizer != labels::FINALIZER);
    if hold {
        finalizers.push(labels::FINALIZER);
    }
    let patch = Patch::Merge(json!({ "metadata": {
        "finalizers": finalizers, "resourceVersion": shim.resource_version(),
    }}));
    api.patch(&shim.name_any(), &PatchParams::default(), &patch)
        .await
        .map(drop)
}
