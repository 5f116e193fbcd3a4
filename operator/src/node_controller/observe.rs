//! Gathers what a plan goes by: from the caches, and from the API server where a cache may be behind
//! and that would matter.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource as _, ResourceExt as _};
use slipway_crds::node_shim::Transaction;
use slipway_crds::{NodeShim, Phase, labels};

use super::observed::{Canary, Goal, JobState, Observed};
use crate::context::Context;
use crate::node_facts::NodeFacts;
use crate::runtime_classes;
use crate::turns::Other;

/// Pods of one node; a kubelet runs a few hundred at most.
const MAX_PODS: u32 = 2000;

/// Everything a plan for `object` depends on.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn observe(object: &NodeShim, context: &Context) -> Result<Observed, kube::Error> {
    let settings = &context.settings;
    let node = node(object, context).await?;
    let classes = context.caches.runtime_classes.state();
    let now = now();
    let job = match object
        .status
        .as_ref()
        .and_then(|status| status.transaction.as_ref())
    {
        Some(transaction) if awaits_job(object) => job(transaction, context, now).await?,
        _ => JobState::Missing,
    };
    let users = match &node {
        Some(node) if drains(object) => {
            users(
                &node.name,
                &runtime_classes::using(&settings.shim, &classes),
                context,
            )
            .await?
        }
        _ => Vec::new(),
    };
    let name = object.name_any();
    let control_plane = node.as_ref().is_some_and(|node| node.control_plane);
    Ok(Observed {
        now,
        turn: context
            .turns
            .could_begin(&name, control_plane, &others(context)),
        object: object.clone(),
        node,
        job,
        canaries: canaries(&name, context),
        users,
        goal: Goal {
            hash: settings.shim.goal(),
            shim: settings.shim.name.clone(),
            image: settings.shim.image.clone(),
            handlers: settings.shim.handlers.clone(),
        },
        conflicts: runtime_classes::conflicts(&settings.shim, &classes),
    })
}

/// All `NodeShim`s, as far as turns go.
#[must_use]
pub fn others(context: &Context) -> Vec<Other> {
    let is_control_plane = |name: &str| {
        let node = context.caches.node(name);
        node.is_some_and(|node| NodeFacts::of(&node, false).control_plane)
    };
    let objects = context.caches.node_shims.state();
    objects
        .iter()
        .map(|object| Other::of(object, is_control_plane(&object.spec.node_name)))
        .collect()
}

/// What events about this are about: the Node, and the object.
#[must_use]
pub fn subjects(seen: &Observed) -> Vec<ObjectReference> {
    let node = seen.node.as_ref().map(|node| ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(node.name.clone()),
        uid: Some(node.uid.clone()),
        ..ObjectReference::default()
    });
    node.into_iter()
        .chain([seen.object.object_ref(&())])
        .collect()
}

/// Now, in whole seconds: that is what the API keeps, and what is read back must compare equal.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The Node. Whether it is gone is asked of the API server: much is given up on that answer.
async fn node(object: &NodeShim, context: &Context) -> Result<Option<NodeFacts>, kube::Error> {
    let name = &object.spec.node_name;
    let auto = context.settings.auto_provision;
    if let Some(node) = context.caches.node(name) {
        return Ok(Some(NodeFacts::of(&node, auto)));
    }
    let api: Api<Node> = Api::all(context.client.clone());
    Ok(api
        .get_opt(name)
        .await?
        .map(|node| NodeFacts::of(&node, auto)))
}

/// Whether the plan depends on the transaction's Job.
fn awaits_job(object: &NodeShim) -> bool {
    let phase = object.status.as_ref().map(|status| status.phase);
    matches!(phase, Some(Phase::Installing | Phase::Removing))
}

/// Whether the plan depends on the pods that use the shim.
fn drains(object: &NodeShim) -> bool {
    let phase = object.status.as_ref().map(|status| status.phase);
    object.metadata.deletion_timestamp.is_some() && phase != Some(Phase::Removing)
}

async fn job(
    transaction: &Transaction,
    context: &Context,
    now: Timestamp,
) -> Result<JobState, kube::Error> {
    let namespace = &context.settings.namespace;
    let name = &transaction.job;
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), namespace);
    let cached = context
        .caches
        .jobs
        .get(&ObjectRef::new(name).within(namespace));
    let job = match cached {
        Some(job) => Job::clone(&job),
        None => match jobs.get_opt(name).await? {
            Some(job) => job,
            None => return Ok(JobState::Missing),
        },
    };
    let is_its = |pod: &Pod| pod.labels().get("batch.kubernetes.io/job-name") == Some(name);
    let pods: Vec<Pod> = context
        .caches
        .pods
        .state_filter(is_its)
        .iter()
        .map(|pod| Pod::clone(pod))
        .collect();
    let state = JobState::of(&job, &pods, transaction, now);
    if !matches!(state, JobState::Silent { .. }) {
        return Ok(state);
    }
    // Before a node is held to have failed silently: the pod cache may lag behind the Job's.
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    Ok(JobState::of(
        &job,
        &api.list(&of_job).await?.items,
        transaction,
        now,
    ))
}

fn canaries(object: &str, context: &Context) -> Vec<Canary> {
    let is_its = |pod: &Pod| {
        let has = |key, value| pod.labels().get(key).is_some_and(|found| found == value);
        has(labels::NODE_SHIM, object) && has(labels::COMPONENT, labels::COMPONENT_CANARY)
    };
    let mut canaries: Vec<_> = context
        .caches
        .pods
        .state_filter(is_its)
        .iter()
        .map(|pod| Canary::of(pod))
        .collect();
    canaries.sort_by(|a, b| a.name.cmp(&b.name));
    canaries
}

/// Pods on the node that run through one of `classes`, by namespace and name. Canaries are no users.
async fn users(
    node: &str,
    classes: &[String],
    context: &Context,
) -> Result<Vec<String>, kube::Error> {
    let api: Api<Pod> = Api::all(context.client.clone());
    let on_node = ListParams::default()
        .fields(&format!("spec.nodeName={node}"))
        .limit(MAX_PODS);
    let pods = api.list(&on_node).await?;
    let mut users: Vec<_> = pods
        .iter()
        .filter(|pod| uses(pod, classes))
        .map(full_name)
        .collect();
    users.sort();
    Ok(users)
}

fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

fn uses(pod: &Pod, classes: &[String]) -> bool {
    let class = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.runtime_class_name.as_ref());
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let ended = matches!(phase, Some("Succeeded" | "Failed"));
    let canary = pod
        .labels()
        .get(labels::COMPONENT)
        .is_some_and(|component| component == labels::COMPONENT_CANARY);
    !ended && !canary && class.is_some_and(|class| classes.contains(class))
}
