//! One watch per kind, each a cache to read from and a source of "look at this again".
//!
//! | a change of | wakes |
//! |---|---|
//! | Node | its claims, its `NodeShim`s, the `Shim`s |
//! | `NodeShim` | itself, its node's others and its claims, its `Shim`, those that wait for a turn, the `RuntimeClasses` |
//! | `Shim` | itself; if not only its status changed also all claims and `NodeShim`s, the `RuntimeClasses` and the default `Shim` |
//! | Job, pod of ours | the `NodeShim` its label names |
//! | pod that watches over a node | the node's `NodeShim`s |
//! | `RuntimeClass` | the `RuntimeClasses`, the `Shim`s |

use std::collections::{BTreeMap, HashMap};
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
use slipway_crds::{NodeShim, Shim, labels};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::node_controller::drift;
use crate::{runtime_classes, turns};

/// How many of each shim that wait are woken when a turn ends. All look again by themselves now and then.
const WOKEN: usize = 16;

/// What was last seen of the cluster.
#[derive(Clone)]
pub struct Caches {
    /// All Nodes, without images and managed fields.
    pub nodes: Store<Node>,
    /// All `Shim`s.
    pub shims: Store<Shim>,
    /// All `NodeShim`s.
    pub node_shims: Store<NodeShim>,
    /// Our Jobs.
    pub jobs: Store<Job>,
    /// Our Jobs' pods, our canaries, and the pods that watch over nodes.
    pub pods: Store<Pod>,
    /// All `RuntimeClasses`.
    pub runtime_classes: Store<RuntimeClass>,
}

/// The other ends of the caches.
pub struct Writers {
    /// Nodes.
    pub nodes: Writer<Node>,
    /// `Shim`s.
    pub shims: Writer<Shim>,
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
    /// Nodes whose claims are to be looked at.
    pub nodes: UnboundedReceiver<ObjectRef<Node>>,
    /// `Shim`s to be looked at.
    pub shims: UnboundedReceiver<ObjectRef<Shim>>,
    /// `NodeShim`s to be looked at.
    pub node_shims: UnboundedReceiver<ObjectRef<NodeShim>>,
    /// The `RuntimeClasses` are to be looked at.
    pub runtime_classes: Arc<Notify>,
    /// The default `Shim` is to be looked at.
    pub default_shim: Arc<Notify>,
}

impl Caches {
    /// Empty caches and what fills them.
    #[must_use]
    pub fn new() -> (Self, Writers) {
        let (nodes, nodes_writer) = store();
        let (shims, shims_writer) = store();
        let (node_shims, node_shims_writer) = store();
        let (jobs, jobs_writer) = store();
        let (pods, pods_writer) = store();
        let (runtime_classes, runtime_classes_writer) = store();
        let caches = Self {
            nodes,
            shims,
            node_shims,
            jobs,
            pods,
            runtime_classes,
        };
        let writers = Writers {
            nodes: nodes_writer,
            shims: shims_writer,
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
        self.shims.wait_until_ready().await?;
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

    /// The `Shim` of this name.
    #[must_use]
    pub fn shim(&self, name: &str) -> Option<Arc<Shim>> {
        self.shims.get(&ObjectRef::new(name))
    }

    /// All `Shim`s, the oldest first.
    #[must_use]
    pub fn shims_by_age(&self) -> Vec<Arc<Shim>> {
        let mut shims = self.shims.state();
        runtime_classes::by_age(&mut shims);
        shims
    }

    /// The `NodeShim`s of a node.
    #[must_use]
    pub fn on_node(&self, node: &str) -> Vec<Arc<NodeShim>> {
        let mut all = self.node_shims.state();
        all.retain(|object| object.spec.node_name == node);
        all
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
    caches: &Caches,
    writers: Writers,
    tasks: &mut JoinSet<()>,
) -> Wakes {
    let (wake_node, nodes) = unbounded_channel();
    let (wake_shim, shims) = unbounded_channel();
    let (wake, node_shims) = unbounded_channel();
    let waker = Waker {
        caches: caches.clone(),
        nodes: wake_node,
        shims: wake_shim,
        node_shims: wake,
        runtime_classes: Arc::new(Notify::new()),
        default_shim: Arc::new(Notify::new()),
    };
    let all = Config::default;
    let ours = Config::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::OPERATOR));

    let wakes = waker.clone();
    let api = Api::<Node>::all(client.clone());
    spawn(tasks, api, all(), writers.nodes, move |node| {
        wakes.node(node);
    });
    let (wakes, mut seen) = (waker.clone(), HashMap::new());
    let api = Api::<Shim>::all(client.clone());
    spawn(tasks, api, all(), writers.shims, move |shim| {
        wakes.shim(shim, &mut seen);
    });
    let wakes = waker.clone();
    let api = Api::<NodeShim>::all(client.clone());
    spawn(tasks, api, all(), writers.node_shims, move |object| {
        wakes.node_shim(object);
    });
    let wakes = waker.clone();
    let api = Api::<Job>::namespaced(client.clone(), namespace);
    spawn(tasks, api, ours.clone(), writers.jobs, move |job| {
        wakes.owner(job);
    });
    let wakes = waker.clone();
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    spawn(tasks, api, ours, writers.pods, move |pod| wakes.pod(pod));
    let wakes = waker.clone();
    let api = Api::<RuntimeClass>::all(client.clone());
    spawn(tasks, api, all(), writers.runtime_classes, move |_| {
        wakes.runtime_classes.notify_one();
        wakes.all_shims();
    });

    Wakes {
        nodes,
        shims,
        node_shims,
        runtime_classes: waker.runtime_classes,
        default_shim: waker.default_shim,
    }
}

/// What a change asks for.
#[derive(Clone)]
struct Waker {
    caches: Caches,
    nodes: UnboundedSender<ObjectRef<Node>>,
    shims: UnboundedSender<ObjectRef<Shim>>,
    node_shims: UnboundedSender<ObjectRef<NodeShim>>,
    runtime_classes: Arc<Notify>,
    default_shim: Arc<Notify>,
}

/// What of a `Shim` the nodes depend on: its status is written with each of their steps.
type Version = (Option<i64>, bool);

impl Waker {
    fn node(&self, node: &Node) {
        let name = node.name_any();
        for object in self.caches.on_node(&name) {
            send(&self.node_shims, ObjectRef::new(&object.name_any()));
        }
        send(&self.nodes, ObjectRef::new(&name));
        self.all_shims();
    }

    fn shim(&self, shim: &Shim, seen: &mut HashMap<String, Version>) {
        let name = shim.name_any();
        send(&self.shims, ObjectRef::new(&name));
        let version = (
            shim.metadata.generation,
            shim.metadata.deletion_timestamp.is_some(),
        );
        // One that is gone is told of once more, by its last form; another of its name begins anew.
        if self.caches.shim(&name).is_none() {
            seen.remove(&name);
        } else if seen.insert(name, version) == Some(version) {
            return;
        }
        for node in self.caches.nodes.state() {
            send(&self.nodes, ObjectRef::new(&node.name_any()));
        }
        for object in self.caches.node_shims.state() {
            send(&self.node_shims, ObjectRef::new(&object.name_any()));
        }
        self.runtime_classes.notify_one();
        self.default_shim.notify_one();
    }

    fn node_shim(&self, object: &NodeShim) {
        send(&self.nodes, ObjectRef::new(&object.spec.node_name));
        send(&self.shims, ObjectRef::new(&object.spec.shim));
        for here in self.caches.on_node(&object.spec.node_name) {
            send(&self.node_shims, ObjectRef::new(&here.name_any()));
        }
        send(&self.node_shims, ObjectRef::new(&object.name_any()));
        self.runtime_classes.notify_one();
        let status = object.status.as_ref();
        let gone = self.caches.node_shim(&object.name_any()).is_none();
        if gone || !status.is_some_and(|status| status.phase.is_busy()) {
            self.waiting();
        }
    }

    /// A turn may have ended.
    fn waiting(&self) {
        let mut woken: BTreeMap<String, usize> = BTreeMap::new();
        for object in self.caches.node_shims.state() {
            if turns::is_waiting(&object) {
                let count = woken.entry(object.spec.shim.clone()).or_default();
                *count += 1;
                if *count <= WOKEN {
                    send(&self.node_shims, ObjectRef::new(&object.name_any()));
                }
            }
        }
    }

    fn all_shims(&self) {
        for shim in self.caches.shims.state() {
            send(&self.shims, ObjectRef::new(&shim.name_any()));
        }
    }

    fn pod(&self, pod: &Pod) {
        self.owner(pod);
        if let Some(node) = drift::watches(pod) {
            for object in self.caches.on_node(node) {
                send(&self.node_shims, ObjectRef::new(&object.name_any()));
            }
        }
    }

    fn owner<K: Resource>(&self, object: &K) {
        let labels = object.meta().labels.as_ref();
        if let Some(name) = labels.and_then(|all| all.get(labels::NODE_SHIM)) {
            send(&self.node_shims, ObjectRef::new(name));
        }
    }
}

fn spawn<K, F>(
    tasks: &mut JoinSet<()>,
    api: Api<K>,
    config: Config,
    writer: Writer<K>,
    mut changed: F,
) where
    K: Resource<DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + Slim
        + 'static,
    F: FnMut(&K) + Send + 'static,
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

impl Slim for Shim {
    fn slim(&mut self) {
        self.managed_fields_mut().clear();
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
