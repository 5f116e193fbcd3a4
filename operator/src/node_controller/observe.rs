//! Gathers what a plan goes by: from the caches, and from the API server where a cache may be behind
//! and that would matter.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource as _, ResourceExt as _};
use slipway_crds::node_shim::Transaction;
use slipway_crds::{NodeShim, Phase, Shim, labels};

use super::drift::{self, Drift};
use super::observed::{Canary, JobState, Observed};
use crate::context::Context;
use crate::goal::{Asked, Goal};
use crate::node_facts::{self, NodeFacts};
use crate::turns::{Asker, Other};
use crate::{rollout, runtime_classes, selection};

/// Pods of one node; a kubelet runs a few hundred at most.
const MAX_PODS: u32 = 2000;

/// Everything a plan for `object` depends on.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn observe(object: &NodeShim, context: &Context) -> Result<Observed, kube::Error> {
    let settings = &context.settings;
    let shim = shim(object, context).await?;
    let node = node(object, context).await?;
    let goal = match (&shim, &node) {
        (Some(shim), Some(node)) => Goal::of(shim, &settings.installer, &node.architecture),
        (Some(shim), None) => Goal::of(shim, &settings.installer, ""),
        (None, _) => Goal::of_gone(object, &settings.installer),
    };
    let classes = context.caches.runtime_classes.state();
    let shims = context.caches.shims_by_age();
    let now = now();
    let job = match object
        .status
        .as_ref()
        .and_then(|status| status.transaction.as_ref())
    {
        Some(transaction) if awaits_job(object) => job(transaction, context, now).await?,
        _ => JobState::Missing,
    };
    context
        .turns
        .keep(|name| context.caches.node_shim(name).is_some());
    let turn = asks(object, node.as_ref(), shim.as_deref(), &goal, |asker| {
        let others = others(context, node.as_ref());
        context.turns.could_begin(asker, &others)
    });
    // Who has to wait anyhow does not ask: a thousand nodes that are cleaned would ask all the time.
    let users = match &node {
        Some(node) if turn && drains(object) => {
            let handlers = handlers_on_node(object, &goal);
            let classes = runtime_classes::using(&handlers, &classes);
            users(&node.name, &classes, context).await?
        }
        _ => Vec::new(),
    };
    let of_shim = |of: &dyn Fn(&Shim, &NodeFacts) -> bool| match (&shim, &node) {
        (Some(shim), Some(node)) => of(shim, node),
        _ => false,
    };
    Ok(Observed {
        now,
        wanted: of_shim(&|shim, node| selection::wants(shim, node, settings.auto_provision)),
        unsupported: match (&shim, &node) {
            (Some(shim), Some(node)) => selection::unsupported(shim, node),
            _ => None,
        },
        turn,
        stopped: shim.as_ref().and_then(|shim| {
            let asked = Asked::by(shim, &settings.installer);
            rollout::stopped(object, shim, &asked, &context.caches.node_shims.state())
        }),
        taken: shim.as_ref().and_then(|shim| {
            let here = context.caches.on_node(&object.spec.node_name);
            taken(object, shim, &shims, &here)
        }),
        shared: context
            .caches
            .on_node(&object.spec.node_name)
            .iter()
            .any(|other| other.name_any() != object.name_any() && is_proven(other)),
        conflicts: shim
            .as_ref()
            .map(|shim| runtime_classes::conflicts(shim, &shims, &classes))
            .unwrap_or_default(),
        object: object.clone(),
        canaries: canaries(&object.name_any(), context),
        drifts: drifts(&object.spec.node_name, context),
        node,
        job,
        users,
        goal,
        shim,
    })
}

/// Asks for a turn in the name of this object. A node that had just this and lost it is no part of a roll-out: only what
/// the operator does at a time bounds how many of those are put right.
pub fn asks<T>(
    object: &NodeShim,
    node: Option<&NodeFacts>,
    shim: Option<&Shim>,
    goal: &Goal,
    ask: impl FnOnce(&Asker<'_>) -> T,
) -> T {
    let at_a_time = shim.and_then(|shim| shim.spec.rollout.at_a_time());
    ask(&Asker {
        name: &object.name_any(),
        node: &object.spec.node_name,
        shim: &object.spec.shim,
        control_plane: node.is_some_and(|node| node.control_plane),
        at_a_time: at_a_time.filter(|_| !heals(object, goal)),
    })
}

fn heals(object: &NodeShim, goal: &Goal) -> bool {
    let Some(status) = &object.status else {
        return false;
    };
    let lost = status.lost_proof.as_ref();
    object.metadata.deletion_timestamp.is_none()
        && status.proof.is_none()
        && lost.is_some_and(|lost| goal.is_shown_by(lost))
}

/// The `NodeShim`s that decide whose turn it is: those that are being changed, and for a node of the control plane
/// also those that wait. All are looked at each time, so no more is made of them than is asked for.
#[must_use]
pub fn others(context: &Context, node: Option<&NodeFacts>) -> Vec<Other> {
    let is_control_plane = |name: &str| {
        let node = context.caches.node(name);
        node.is_some_and(|node| node_facts::is_control_plane(&node))
    };
    let last = node.is_some_and(|node| node.control_plane);
    let is_busy = |object: &NodeShim| {
        let status = object.status.as_ref();
        status.is_some_and(|status| status.phase.is_busy())
    };
    let objects = context.caches.node_shims.state();
    objects
        .iter()
        .filter(|object| last || is_busy(object))
        .map(|object| Other::of(object, is_control_plane(&object.spec.node_name)))
        .collect()
}

/// Why a handler of this shim is not to be had on this node: another has its name there, or will have it since
/// its `Shim` is older. `by_age` are all `Shim`s, `here` the objects of this node.
fn taken(
    object: &NodeShim,
    shim: &Shim,
    by_age: &[Arc<Shim>],
    here: &[Arc<NodeShim>],
) -> Option<String> {
    if has_begun(object) {
        return None;
    }
    let rank = |name: &str| by_age.iter().position(|other| other.name_any() == name);
    let rivals = here.iter().filter(|other| {
        other.spec.shim != object.spec.shim
            && (has_begun(other) || rank(&other.spec.shim) < rank(&object.spec.shim))
    });
    let mut shims = rivals.filter_map(|rival| by_age.get(rank(&rival.spec.shim)?));
    shims.find_map(|other| {
        let mut names = shim.spec.handlers.iter().map(|handler| &handler.name);
        let served = |name: &&String| other.spec.handlers.iter().any(|h| h.name == **name);
        let name = names.find(served)?;
        Some(format!(
            "handler {name} of node {} belongs to Shim {}: give it another name, or select other nodes",
            object.spec.node_name,
            other.name_any()
        ))
    })
}

fn has_begun(object: &NodeShim) -> bool {
    let status = object.status.as_ref();
    status.is_some_and(|status| status.transaction.is_some())
}

/// The handlers that are asked for and those that are still there from before.
fn handlers_on_node(object: &NodeShim, goal: &Goal) -> Vec<String> {
    let status = object.status.as_ref();
    let installed = status.and_then(|status| status.installed.as_ref());
    let mut handlers = goal.handlers.clone();
    handlers.extend(installed.into_iter().flat_map(|i| i.handlers.clone()));
    handlers
}

fn is_proven(object: &NodeShim) -> bool {
    let status = object.status.as_ref();
    object.metadata.deletion_timestamp.is_none()
        && status.is_some_and(|status| status.proof.is_some())
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
    if let Some(node) = context.caches.node(name) {
        return Ok(Some(NodeFacts::of(&node)));
    }
    let api: Api<Node> = Api::all(context.client.clone());
    Ok(api.get_opt(name).await?.as_ref().map(NodeFacts::of))
}

/// The Shim; the same holds for it.
async fn shim(object: &NodeShim, context: &Context) -> Result<Option<Arc<Shim>>, kube::Error> {
    let name = &object.spec.shim;
    if let Some(shim) = context.caches.shim(name) {
        return Ok(Some(shim));
    }
    let api: Api<Shim> = Api::all(context.client.clone());
    Ok(api.get_opt(name).await?.map(Arc::new))
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
    let namespace = &context.settings.installer.namespace;
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
    if !state.has_failed() {
        return Ok(state);
    }
    // Before a node is held to have failed: the pod cache may lag behind the Job's, and lack the last try.
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

/// More than one only while one watcher ends and the next has begun.
fn drifts(node: &str, context: &Context) -> Vec<Drift> {
    let here = |pod: &Pod| drift::watches(pod) == Some(node);
    let watchers = context.caches.pods.state_filter(here);
    // One that is on its way out has been heard, and what it told may be right again.
    let stays = |pod: &&Arc<Pod>| pod.metadata.deletion_timestamp.is_none();
    let told = watchers.iter().filter(stays);
    told.filter_map(|pod| drift::told(pod)).collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shim(name: &str, handler: &str) -> Arc<Shim> {
        let spec = json!({"source": {"bundled": {}}, "handlers": [{"name": handler}]});
        Arc::new(Shim::new(name, serde_json::from_value(spec).unwrap()))
    }

    fn object(shim: &str, has_begun: bool) -> Arc<NodeShim> {
        let transaction = json!({
            "number": 1, "operation": "install", "job": "j", "goal": "g", "startTime": "2026-01-01T00:00:00Z",
        });
        let status = if has_begun {
            json!({"transaction": transaction})
        } else {
            json!({})
        };
        let object = json!({
            "metadata": {"name": format!("n.{shim}")},
            "spec": {"nodeName": "n", "shim": shim}, "status": status,
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_handler_belongs_to_who_came_first() {
        let shims = [
            shim("old", "spin"),
            shim("new", "spin"),
            shim("apart", "wws"),
        ];
        let why = |me: usize, begun: bool, rival: &str, rival_begun: bool| {
            let own = object(&shims[me].name_any(), begun);
            let here = [own.clone(), object(rival, rival_begun)];
            taken(&own, &shims[me], &shims, &here)
        };
        assert!(
            why(1, false, "old", false)
                .unwrap()
                .contains("belongs to Shim old")
        );
        assert_eq!(why(0, false, "new", false), None, "the older is first");
        assert!(
            why(0, false, "new", true)
                .unwrap()
                .contains("belongs to Shim new")
        );
        assert_eq!(why(1, true, "old", true), None, "it is there already");
        assert_eq!(why(2, false, "old", true), None, "another handler");
    }
}
