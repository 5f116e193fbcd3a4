//! Nodes that ask for Wasm get a `NodeShim`; so do those that still carry what an installer left, to be
//! cleaned. Everything after that is the node controller's.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::runtime::Controller;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use slipway_crds::{NodeShim, NodeShimSpec, labels, names};

use crate::context::Context;
use crate::node_facts::NodeFacts;

const NAME: &str = "claim";
const RETRY: Duration = Duration::from_secs(5);

/// Claims nodes until the task is dropped.
pub async fn run(
    context: Arc<Context>,
    wakes: impl Stream<Item = ObjectRef<Node>> + Send + 'static,
) {
    Controller::for_stream(stream::pending(), context.caches.nodes.clone())
        .reconcile_on(wakes)
        .run(reconcile, on_error, context)
        .for_each(|_| std::future::ready(()))
        .await;
}

/// The `NodeShim` this node is to get, if it has none.
#[must_use]
pub fn claim(node: &NodeFacts, shim: &str, exists: bool) -> Option<NodeShim> {
    let concerned = node.wanted || node.touched_by.contains(shim);
    if !concerned || exists {
        return None;
    }
    Some(NodeShim {
        metadata: ObjectMeta {
            name: Some(names::node_shim(&node.name, shim)),
            // From the start: without it a deletion would leave the node as it is.
            finalizers: Some(vec![labels::FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: NodeShimSpec {
            node_name: node.name.clone(),
            shim: shim.to_owned(),
        },
        status: None,
    })
}

/// Gives a node its `NodeShim`, if it is to have one.
///
/// # Errors
/// When the API server will not have it.
pub async fn reconcile(node: Arc<Node>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let _measure = context.metrics.measure(NAME);
    if node.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let facts = NodeFacts::of(&node, context.settings.auto_provision);
    let shim = &context.settings.shim.name;
    let exists = context
        .caches
        .node_shim(&names::node_shim(&facts.name, shim))
        .is_some();
    let Some(object) = claim(&facts, shim, exists) else {
        return Ok(Action::await_change());
    };
    let api: Api<NodeShim> = Api::all(context.client.clone());
    match api.create(&PostParams::default(), &object).await {
        Ok(made) => {
            tracing::info!(
                node = facts.name,
                object = made.name_any(),
                wanted = facts.wanted,
                "node gets a NodeShim"
            );
            Ok(Action::await_change())
        }
        // The cache is behind; the watch wakes us again.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Action::await_change()),
        Err(error) => Err(error),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "kube's signature")]
fn on_error(node: Arc<Node>, error: &kube::Error, context: Arc<Context>) -> Action {
    context.metrics.failed(NAME, "Api");
    tracing::warn!(node = node.name_any(), %error, "node cannot be claimed");
    Action::requeue(RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(wanted: bool) -> NodeFacts {
        let node = Node {
            metadata: ObjectMeta {
                name: Some("n".into()),
                ..ObjectMeta::default()
            },
            ..Node::default()
        };
        NodeFacts {
            wanted,
            ..NodeFacts::of(&node, false)
        }
    }

    #[test]
    fn only_nodes_that_ask_and_have_none_get_one() {
        assert_eq!(claim(&facts(false), "slipway", false), None);
        assert_eq!(claim(&facts(true), "slipway", true), None);
        let mut left_behind = facts(false);
        left_behind.touched_by.insert("slipway".into());
        assert!(claim(&left_behind, "slipway", false).is_some());
        let object = claim(&facts(true), "slipway", false).unwrap();
        assert_eq!(object.name_any(), "n.slipway");
        assert_eq!(object.finalizers(), [labels::FINALIZER]);
    }
}
