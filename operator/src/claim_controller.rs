//! Nodes that are to have a shim get a `NodeShim`; so do those that still carry what an installer left, to be
//! cleaned. Everything after that is the node controller's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use slipway_crds::{NodeShim, NodeShimSpec, Shim, labels, names};

use crate::context::Context;
use crate::node_facts::NodeFacts;
use crate::selection;

const NAME: &str = "claim";
const RETRY: Duration = Duration::from_secs(5);
/// Nodes at a time: after a start all of them are looked at, and each may ask the API server for something.
const CONCURRENCY: u16 = 8;

/// Claims nodes until the task is dropped.
pub async fn run(
    context: Arc<Context>,
    wakes: impl Stream<Item = ObjectRef<Node>> + Send + 'static,
) {
    Controller::for_stream(stream::pending(), context.caches.nodes.clone())
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(wakes)
        .run(reconcile, on_error, context)
        .for_each(|_| std::future::ready(()))
        .await;
}

/// The shims this node is to have, and those an installer has left on it.
#[must_use]
pub fn concerned(node: &NodeFacts, shims: &[Arc<Shim>], auto_provision: bool) -> BTreeSet<String> {
    let wanting = shims
        .iter()
        .filter(|shim| selection::wants(shim, node, auto_provision));
    let mut names: BTreeSet<_> = wanting.map(|shim| shim.name_any()).collect();
    // The mark is an annotation, so anybody may have written it.
    let left = node.touched_by.iter();
    names.extend(left.filter(|name| names::is_shim_name(name)).cloned());
    names
}

fn object(node: &str, shim: &str) -> NodeShim {
    NodeShim {
        metadata: ObjectMeta {
            name: Some(names::node_shim(node, shim)),
            // From the start: without it a deletion would leave the node as it is.
            finalizers: Some(vec![labels::FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: NodeShimSpec {
            node_name: node.to_owned(),
            shim: shim.to_owned(),
        },
        status: None,
    }
}

/// Gives a node the `NodeShim`s it is to have.
///
/// # Errors
/// When the API server will not have one.
pub async fn reconcile(node: Arc<Node>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let _measure = context.metrics.measure(NAME);
    if node.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let facts = NodeFacts::of(&node);
    let shims = context.caches.shims.state();
    let api: Api<NodeShim> = Api::all(context.client.clone());
    for shim in concerned(&facts, &shims, context.settings.auto_provision) {
        let object = object(&facts.name, &shim);
        if context.caches.node_shim(&object.name_any()).is_some() {
            continue;
        }
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => tracing::info!(node = facts.name, shim, "node gets a NodeShim"),
            // The cache is behind; the watch wakes us again.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Action::await_change())
}

#[expect(clippy::needless_pass_by_value, reason = "kube's signature")]
fn on_error(node: Arc<Node>, error: &kube::Error, context: Arc<Context>) -> Action {
    context.metrics.failed(NAME, "Api");
    tracing::warn!(node = node.name_any(), %error, "node cannot be claimed");
    Action::requeue(RETRY)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_that_ask_and_nodes_with_something_left_get_objects() {
        let node = Node {
            metadata: ObjectMeta {
                name: Some("n".into()),
                ..ObjectMeta::default()
            },
            ..Node::default()
        };
        let mut facts = NodeFacts::of(&node);
        let spec = json!({"source": {"bundled": {}}, "handlers": [{"name": "wasmtime"}]});
        let shims = [Arc::new(Shim::new(
            "slipway",
            serde_json::from_value(spec).unwrap(),
        ))];
        let names =
            |facts: &NodeFacts| -> Vec<_> { concerned(facts, &shims, false).into_iter().collect() };
        assert!(names(&facts).is_empty());
        facts
            .touched_by
            .extend(["gone".to_owned(), "Not a name".to_owned()]);
        assert_eq!(names(&facts), ["gone"]);
        facts.asked = Some(true);
        assert_eq!(names(&facts), ["gone", "slipway"]);
        let object = object("n", "slipway");
        assert_eq!(object.name_any(), "n.slipway");
        assert_eq!(object.finalizers(), [labels::FINALIZER]);
    }
}
