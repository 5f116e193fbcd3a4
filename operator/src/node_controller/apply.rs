//! Makes the changes a plan asks for. Each does no harm when done twice.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use slipway_crds::shim::StartupTaint;
use slipway_crds::{NodeShim, NodeShimStatus, labels};

use super::build::{self, Frame};
use super::observed::Observed;
use super::plan::{Action, Labels, Plan, covers};
use crate::context::Context;
use crate::node_facts::NodeFacts;

/// A change that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server will not have the Job or the canary as it is: a quota, a policy, an admission webhook.
    #[error("{what}: refused by the API server: {message}")]
    Rejected {
        /// What was to be made.
        what: String,
        /// Its own words.
        message: String,
    },
    /// The API server could not be asked, or something else is in the way.
    #[error("{what}: cannot be changed")]
    Api {
        /// What was to be changed.
        what: String,
        /// Why not.
        #[source]
        source: kube::Error,
    },
}

/// Makes the plan's changes, in order.
///
/// # Errors
/// With the first change that could not be made; those after it are not tried.
pub async fn apply(seen: &Observed, plan: &Plan, context: &Context) -> Result<(), Error> {
    for action in &plan.actions {
        let result = one(action, seen, context).await;
        result.map_err(|source| error(action, seen, source))?;
    }
    Ok(())
}

/// Writes the status if it differs. The whole of it, under the version it was read at: it is the
/// register of a state machine, and two writers must not each win half.
///
/// # Errors
/// When it could not be written; 409 when the object has changed since it was read.
pub async fn write_status(
    object: &NodeShim,
    status: &NodeShimStatus,
    context: &Context,
) -> Result<(), kube::Error> {
    if object.status.as_ref() == Some(status) {
        return Ok(());
    }
    let api: Api<NodeShim> = Api::all(context.client.clone());
    let mut written = object.clone();
    written.status = Some(status.clone());
    api.replace_status(&object.name_any(), &PostParams::default(), &written)
        .await
        .map(drop)
}

async fn one(action: &Action, seen: &Observed, context: &Context) -> Result<(), kube::Error> {
    let object = &seen.object;
    let name = object.name_any();
    let namespace = context.settings.installer.namespace.as_str();
    let objects: Api<NodeShim> = Api::all(context.client.clone());
    let frame = Frame {
        object,
        namespace,
        goal: &seen.goal,
        installer: &context.settings.installer,
    };
    match action {
        Action::Hold => patch_finalizers(&objects, object, true).await,
        Action::Release => gone_is_fine(patch_finalizers(&objects, object, false).await),
        Action::Delete => gone_is_fine(
            objects
                .delete(&name, &DeleteParams::default())
                .await
                .map(drop),
        ),
        Action::Label(which) => match &seen.node {
            Some(node) => label(node, &object.spec.shim, *which, context).await,
            None => Ok(()),
        },
        Action::Untaint(startup) => match &seen.node {
            Some(node) => untaint(node, startup, context).await,
            None => Ok(()),
        },
        Action::Mark(on) => match &seen.node {
            Some(node) => mark(node, &object.spec.shim, *on, context).await,
            None => Ok(()),
        },
        Action::CreateJob(transaction) => {
            let api: Api<Job> = Api::namespaced(context.client.clone(), namespace);
            let job = build::job(&frame, transaction);
            there_is_fine(api.create(&PostParams::default(), &job).await.map(drop))
        }
        Action::DeleteJob(job) => {
            let api: Api<Job> = Api::namespaced(context.client.clone(), namespace);
            let with_pods = DeleteParams {
                propagation_policy: Some(PropagationPolicy::Background),
                ..DeleteParams::default()
            };
            gone_is_fine(api.delete(job, &with_pods).await.map(drop))
        }
        Action::CreateCanary { name, handler } => {
            let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
            let pod = build::canary(&frame, name, handler);
            there_is_fine(api.create(&PostParams::default(), &pod).await.map(drop))
        }
        Action::DeleteCanary(pod) | Action::DeleteWatcher(pod) => {
            let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
            gone_is_fine(api.delete(pod, &DeleteParams::default()).await.map(drop))
        }
    }
}

/// The version it was read at goes along: the list of finalizers is replaced as a whole.
async fn patch_finalizers(
    api: &Api<NodeShim>,
    object: &NodeShim,
    hold: bool,
) -> Result<(), kube::Error> {
    let mut finalizers: Vec<&str> = object.finalizers().iter().map(String::as_str).collect();
    finalizers.retain(|finalizer| *finalizer != labels::FINALIZER);
    if hold {
        finalizers.push(labels::FINALIZER);
    }
    let mut metadata = json!({ "finalizers": finalizers });
    if hold {
        metadata["resourceVersion"] = json!(object.resource_version());
    }
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    api.patch(&object.name_any(), &PatchParams::default(), &patch)
        .await
        .map(drop)
}

async fn label(
    node: &NodeFacts,
    shim: &str,
    which: Labels,
    context: &Context,
) -> Result<(), kube::Error> {
    let [own, provisioned, wasm] = node.proven_labels(shim);
    let put = |(key, value): (String, String)| (key, Value::from(value));
    let take = |(key, _): (String, String)| (key, Value::Null);
    let changed: serde_json::Map<_, _> = match which {
        Labels::All => [own, provisioned, wasm].map(put).into_iter().collect(),
        Labels::Shared => [own].map(take).into_iter().collect(),
        Labels::None => [own, provisioned, wasm].map(take).into_iter().collect(),
    };
    tracing::info!(
        node = node.name,
        shim,
        ?which,
        "setting the node's Wasm labels"
    );
    patch_node(node, json!({ "uid": node.uid, "labels": changed }), context).await
}

/// The list of taints is replaced as a whole, so under the version it was read at: a conflict is tried again
/// from fresh sight.
async fn untaint(
    node: &NodeFacts,
    startup: &[StartupTaint],
    context: &Context,
) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(context.client.clone());
    let Some(found) = api.get_opt(&node.name).await? else {
        return Ok(());
    };
    let taints = found.spec.as_ref().and_then(|spec| spec.taints.clone());
    let mut left = taints.unwrap_or_default();
    left.retain(|taint| !covers(startup, &taint.key, &taint.effect));
    tracing::info!(node = node.name, "taking the startup taints off the node");
    let patch = Patch::Merge(json!({
        "metadata": { "uid": node.uid, "resourceVersion": found.resource_version() },
        "spec": { "taints": left },
    }));
    gone_is_fine(
        api.patch(&node.name, &PatchParams::default(), &patch)
            .await
            .map(drop),
    )
}

async fn mark(
    node: &NodeFacts,
    shim: &str,
    on: bool,
    context: &Context,
) -> Result<(), kube::Error> {
    let value = if on { Value::from("true") } else { Value::Null };
    let annotations = serde_json::Map::from_iter([(labels::touched_annotation(shim), value)]);
    patch_node(
        node,
        json!({ "uid": node.uid, "annotations": annotations }),
        context,
    )
    .await
}

/// A merge patch of a few keys, never the whole Node. The UID in it makes the API server refuse it
/// for a node that was replaced under the same name.
async fn patch_node(
    node: &NodeFacts,
    metadata: Value,
    context: &Context,
) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(context.client.clone());
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    gone_is_fine(
        api.patch_metadata(&node.name, &PatchParams::default(), &patch)
            .await
            .map(drop),
    )
}

fn gone_is_fine(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    tolerate(result, 404)
}

fn there_is_fine(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    tolerate(result, 409)
}

fn tolerate(result: Result<(), kube::Error>, code: u16) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.code == code => Ok(()),
        result => result,
    }
}

fn error(action: &Action, seen: &Observed, source: kube::Error) -> Error {
    let node = &seen.object.spec.node_name;
    let what = match action {
        Action::Hold | Action::Release | Action::Delete => {
            format!("NodeShim {}", seen.object.name_any())
        }
        Action::Label(_) | Action::Mark(_) => format!("metadata of node {node}"),
        Action::Untaint(_) => format!("taints of node {node}"),
        Action::CreateJob(transaction) => format!("Job {}", transaction.job),
        Action::DeleteJob(name) => format!("Job {name}"),
        Action::CreateCanary { name, .. }
        | Action::DeleteCanary(name)
        | Action::DeleteWatcher(name) => format!("pod {name}"),
    };
    match (&source, action) {
        (kube::Error::Api(status), Action::CreateJob(_) | Action::CreateCanary { .. })
            if matches!(status.code, 400 | 403 | 422) =>
        {
            Error::Rejected {
                what,
                message: status.message.clone(),
            }
        }
        _ => Error::Api { what, source },
    }
}
