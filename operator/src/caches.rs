//! One watch per kind, each a cache to read from and a source of "look at this again".
//!
//! | a change of | wakes |
//! |---|---|
//! | Node | its claim, its `NodeShim`s |
//! | `NodeShim` | itself, its node's claim, those that wait for a turn, the `RuntimeClasses` |
//! | Job, pod of ours | the `NodeShim` its label names |
//! | `RuntimeClass` | the `RuntimeClasses` |

use std::sync::Arc;

use futures::{StreamExt as _, future};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::Api;
use kube::runtime::reflector::store::{Writer, WriterDropped};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{Config, watcher};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use slipway_crds::{NodeShim, labels, names};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::turns;

/// What was last seen of the cluster.
#[derive(Clone)]
pub struct Caches {
    /// All Nodes, without images and managed fields.
    pub nodes: Store<Node>,
    /// All `NodeShim`s.
    pub node_shims: Store<NodeShim>,
    /// Our Jobs.
    pub jobs: Store<Job>,
    /// Our Jobs' pods and our canaries.
    pub pods: Store<Pod>,
    /// All `RuntimeClasses`.
    pub runtime_classes: Store<RuntimeClass>,
}

/// The other ends of the caches.
pub struct Writers {
    /// Nodes.
    pub nodes: Writer<Node>,
    /// `NodeShim`s.
    pub node_shims: Writer<NodeShim>,
    /// Jobs.
    pub jobs: Writer<Job>,
    /// Pods.
    pub pods: Writer<Pod>,
    /// `RuntimeClasses`.
    pub runtime_classes: Writer<RuntimeClass>,
}

/// What changes ask for.
pub struct Wakes {
    /// Nodes whose claim is to be looked at.
    pub nodes: UnboundedReceiver<ObjectRef<Node>>,
    /// `NodeShim`s to be looked at.
    pub node_shims: UnboundedReceiver<ObjectRef<NodeShim>>,
    /// The `RuntimeClasses` are to be looked at.
    pub runtime_classes: Arc<Notify>,
}

impl Caches {
    /// Empty caches and what fills them.
    #[must_use]
    pub fn new() -> (Self, Writers) {
        let (nodes, nodes_writer) = store();
        let (node_shims, node_shims_writer) = store();
        let (jobs, jobs_writer) = store();
        let (pods, pods_writer) = store();
        let (runtime_classes, runtime_classes_writer) = store();
        let caches = Self {
            nodes,
            node_shims,
            jobs,
            pods,
            runtime_classes,
        };
        let writers = Writers {
            nodes: nodes_writer,
            node_shims: node_shims_writer,
            jobs: jobs_writer,
            pods: pods_writer,
            runtime_classes: runtime_classes_writer,
        };
        (caches, writers)
    }

    /// Waits until every cache holds what the API server has.
    ///
    /// # Errors
    /// When a watch was dropped before it had begun.
    pub async fn ready(&self) -> Result<(), WriterDropped> {
        self.nodes.wait_until_ready().await?;
        self.node_shims.wait_until_ready().await?;
        self.jobs.wait_until_ready().await?;
        self.pods.wait_until_ready().await?;
        self.runtime_classes.wait_until_ready().await
    }

    /// The Node of this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.nodes.get(&ObjectRef::new(name))
    }

    /// The `NodeShim` of this name.
    #[must_use]
    pub fn node_shim(&self, name: &str) -> Option<Arc<NodeShim>> {
        self.node_shims.get(&ObjectRef::new(name))
    }
}

/// Starts the watches, as tasks of `tasks`.
pub fn watch(
    client: &Client,
    namespace: &str,
    shim: &str,
    caches: &Caches,
    writers: Writers,
    tasks: &mut JoinSet<()>,
) -> Wakes {
    let (wake_node, nodes) = unbounded_channel();
    let (wake_shim, node_shims) = unbounded_channel();
    let runtime_classes = Arc::new(Notify::new());
    let ours = Config::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::OPERATOR));

    let (claim, wake, shim) = (wake_node.clone(), wake_shim.clone(), shim.to_owned());
    let known = caches.node_shims.clone();
    spawn(
        tasks,
        Api::<Node>::all(client.clone()),
        Config::default(),
        writers.nodes,
        move |node| {
            let name = node.name_any();
            send(&wake, ObjectRef::new(&names::node_shim(&name, &shim)));
            for odd in known
                .state()
                .iter()
                .filter(|object| object.spec.node_name == name)
            {
                send(&wake, ObjectRef::new(&odd.name_any()));
            }
            send(&claim, ObjectRef::new(&name));
        },
    );

    let (wake, classes) = (wake_shim.clone(), Arc::clone(&runtime_classes));
    let known = caches.node_shims.clone();
    let api = Api::<NodeShim>::all(client.clone());
    spawn(
        tasks,
        api,
        Config::default(),
        writers.node_shims,
        move |object| {
            send(&wake, ObjectRef::new(&object.name_any()));
            send(&wake_node, ObjectRef::new(&object.spec.node_name));
            classes.notify_one();
            if !object
                .status
                .as_ref()
                .is_some_and(|status| status.phase.is_busy())
            {
                for waiting in known
                    .state()
                    .iter()
                    .filter(|object| turns::is_waiting(object))
                {
                    send(&wake, ObjectRef::new(&waiting.name_any()));
                }
            }
        },
    );

    let wake = wake_shim.clone();
    let api = Api::<Job>::namespaced(client.clone(), namespace);
    spawn(tasks, api, ours.clone(), writers.jobs, move |job| {
        wake_owner(&wake, job);
    });
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    spawn(tasks, api, ours, writers.pods, move |pod| {
        wake_owner(&wake_shim, pod);
    });
    let classes = Arc::clone(&runtime_classes);
    let api = Api::<RuntimeClass>::all(client.clone());
    spawn(
        tasks,
        api,
        Config::default(),
        writers.runtime_classes,
        move |_| classes.notify_one(),
    );

    Wakes {
        nodes,
        node_shims,
        runtime_classes,
    }
}

fn spawn<K, F>(tasks: &mut JoinSet<()>, api: Api<K>, config: Config, writer: Writer<K>, changed: F)
where
    K: Resource<DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + Slim
        + 'static,
    F: Fn(&K) + Send + 'static,
{
    tasks.spawn(async move {
        let objects = watcher(api, config).default_backoff().modify(Slim::slim);
        reflector(writer, objects)
            .touched_objects()
            .for_each(move |object| {
                match object {
                    Ok(object) => changed(&object),
                    Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "watch interrupted; it goes on by itself"),
                }
                future::ready(())
            })
            .await;
    });
}

fn wake_owner<K: Resource>(wake: &UnboundedSender<ObjectRef<NodeShim>>, object: &K) {
    if let Some(name) = object
        .meta()
        .labels
        .as_ref()
        .and_then(|all| all.get(labels::NODE_SHIM))
    {
        send(wake, ObjectRef::new(name));
    }
}

fn send<T>(channel: &UnboundedSender<T>, value: T) {
    // Closed only while the process ends.
    drop(channel.send(value));
}

/// Drops what is never looked at: on 1000 nodes that is most of the memory.
trait Slim {
    fn slim(&mut self);
}

impl Slim for Node {
    fn slim(&mut self) {
        self.managed_fields_mut().clear();
        if let Some(status) = &mut self.status {
            status.images = None;
            status.volumes_attached = None;
            status.volumes_in_use = None;
        }
    }
}

impl Slim for NodeShim {
    fn slim(&mut self) {
        self.managed_fields_mut().clear();
    }
}

impl Slim for Job {
    fn slim(&mut self) {
        self.managed_fields_mut().clear();
    }
}

impl Slim for Pod {
    fn slim(&mut self) {
        self.managed_fields_mut().clear();
    }
}

impl Slim for RuntimeClass {
    fn slim(&mut self) {
        self.managed_fields_mut().clear();
    }
}
