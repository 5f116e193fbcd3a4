//! A cluster of the API server in memory, nodes, and an operator that can be killed.

use std::sync::Arc;

use clap::Parser as _;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slipway_operator::args::{Args, Command};
use slipway_operator::caches::{Caches, Writers};
use slipway_operator::context::Context;
use slipway_operator::events::Emitter;
use slipway_operator::metrics::Metrics;
use slipway_operator::settings::Settings;
use slipway_operator::turns::Turns;
use slipway_operator::{claim_controller, node_controller, shim_controller};

use crate::api::Api;

pub(crate) struct World {
    pub(crate) api: Api,
    context: Arc<Context>,
    writers: Writers,
}

pub(crate) fn node_path(name: &str) -> String {
    format!("/api/v1/nodes/{name}")
}

pub(crate) fn object_path(node: &str) -> String {
    object_path_of(node, "slipway")
}

pub(crate) fn object_path_of(node: &str, shim: &str) -> String {
    format!("/apis/slipway.dev/v1alpha1/nodeshims/{node}.{shim}")
}

pub(crate) fn shim_path(name: &str) -> String {
    format!("/apis/slipway.dev/v1alpha1/shims/{name}")
}

/// The default `Shim`, as the chart has it made.
fn bundled() -> Value {
    json!({"source": {"bundled": {}}, "handlers": [{"name": "wasmtime"}]})
}

fn settings() -> Settings {
    let argv = [
        "slipway-operator",
        "run",
        "--namespace=kwasm",
        "--identity=test",
        "--installer-image=image:1",
        "--installer-namespace=nodes",
    ];
    match Args::try_parse_from(argv).expect("good arguments").command {
        Command::Run(args) => Settings::from_args(*args).expect("good settings"),
        _ => unreachable!("`run` was given"),
    }
}

fn operator(api: &Api) -> (Arc<Context>, Writers) {
    let (caches, writers) = Caches::new();
    let settings = settings();
    let context = Context {
        client: api.client(),
        caches,
        turns: Turns::new(settings.max_concurrent),
        events: Emitter::new(api.client(), "test".to_owned()),
        metrics: Metrics::new(),
        settings,
    };
    (Arc::new(context), writers)
}

impl World {
    pub(crate) fn new(nodes: &[&str]) -> Self {
        let api = Api::default();
        for name in nodes {
            api.put(&node_path(name), node(name));
        }
        let (context, writers) = operator(&api);
        let world = Self {
            api,
            context,
            writers,
        };
        world.make_shim("slipway", &bundled());
        world
    }

    /// Someone makes a `Shim`.
    pub(crate) fn make_shim(&self, name: &str, spec: &Value) {
        let shim = json!({"metadata": {"name": name, "generation": 1}, "spec": spec});
        self.api.put(&shim_path(name), shim);
    }

    /// Someone changes the specification of a `Shim`.
    pub(crate) fn edit_shim(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.api.edit(&shim_path(name), |shim| {
            change(&mut shim["spec"]);
            let generation = shim["metadata"]["generation"].as_i64().unwrap_or(0);
            shim["metadata"]["generation"] = json!(generation + 1);
        });
    }

    /// Status and reason of a `Shim`'s condition.
    pub(crate) fn shim_condition(&self, name: &str, type_: &str) -> (String, String) {
        let shim = self.api.get(&shim_path(name)).expect("the Shim is there");
        let all = shim["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = all.into_iter().find(|condition| condition["type"] == type_);
        let found = found.unwrap_or_default();
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    /// The operator is killed and another starts: all it remembers is gone.
    pub(crate) fn kill_operator(&mut self) {
        (self.context, self.writers) = operator(&self.api);
    }

    pub(crate) fn want(&self, node: &str, wanted: bool) {
        self.api.edit(&node_path(node), |node| {
            node["metadata"]["annotations"]["kwasm.sh/kwasm-node"] = json!(wanted.to_string());
        });
    }

    /// Every controller looks at everything once. Says whether all went well.
    pub(crate) async fn round(&mut self) -> bool {
        let mut well = true;
        self.sync();
        for node in self.context.caches.nodes.state() {
            well &= claim_controller::reconcile(node, Arc::clone(&self.context))
                .await
                .is_ok();
        }
        self.sync();
        for object in self.context.caches.node_shims.state() {
            well &= node_controller::reconcile(object, Arc::clone(&self.context))
                .await
                .is_ok();
            self.sync();
        }
        for shim in self.context.caches.shims.state() {
            well &= shim_controller::reconcile(shim, Arc::clone(&self.context))
                .await
                .is_ok();
        }
        well
    }

    /// Nodes do their part: Jobs run and report, canaries run.
    pub(crate) fn nodes_work(&self, outcome: &str) {
        self.nodes_work_unless(outcome, |_| false);
    }

    /// The same, but on the nodes that fail canaries do not run.
    pub(crate) fn nodes_work_unless(&self, outcome: &str, fails: impl Fn(&str) -> bool) {
        for (path, job) in self.api.all("jobs") {
            let name = job["metadata"]["name"].as_str().expect("a name").to_owned();
            if !job["status"].is_null() {
                continue;
            }
            let operation = if name.contains("uninstall") {
                "uninstall"
            } else {
                "install"
            };
            self.api.put(
                &format!("/api/v1/namespaces/nodes/pods/{name}-x"),
                job_pod(&job, operation, outcome),
            );
            self.api.edit(&path, |job| {
                job["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
            });
        }
        for (path, pod) in self.api.all("pods") {
            if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "canary" {
                let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
                let phase = if fails(node) { "Failed" } else { "Succeeded" };
                self.api
                    .edit(&path, |pod| pod["status"] = json!({"phase": phase}));
            }
        }
    }

    pub(crate) fn phase(&self, node: &str) -> Option<String> {
        self.phase_of(node, "slipway")
    }

    pub(crate) fn phase_of(&self, node: &str, shim: &str) -> Option<String> {
        let object = self.api.get(&object_path_of(node, shim))?;
        Some(object["status"]["phase"].as_str().unwrap_or("").to_owned())
    }

    pub(crate) fn is_labelled(&self, node: &str) -> bool {
        self.has_label(node, "slipway.dev/slipway")
    }

    pub(crate) fn has_label(&self, node: &str, key: &str) -> bool {
        let node = self.api.get(&node_path(node)).expect("the node is there");
        !node["metadata"]["labels"][key].is_null()
    }

    /// Reasons of all events, oldest first; each counted once though written twice.
    pub(crate) fn events(&self) -> Vec<String> {
        let mut events: Vec<_> = self
            .api
            .all("events")
            .into_iter()
            .map(|(_, event)| event)
            .filter(|event| event["regarding"]["kind"] == "Node")
            .collect();
        events.sort_by_key(|event| event["eventTime"].as_str().map(str::to_owned));
        events
            .iter()
            .map(|event| event["reason"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    fn sync(&mut self) {
        fill(&mut self.writers.nodes, &self.api, "nodes");
        fill(&mut self.writers.shims, &self.api, "shims");
        fill(&mut self.writers.node_shims, &self.api, "nodeshims");
        fill(&mut self.writers.jobs, &self.api, "jobs");
        fill(&mut self.writers.pods, &self.api, "pods");
        fill(
            &mut self.writers.runtime_classes,
            &self.api,
            "runtimeclasses",
        );
    }
}

fn fill<K>(writer: &mut Writer<K>, api: &Api, collection: &str)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + 'static,
{
    writer.apply_watcher_event(&Event::Init);
    for (path, object) in api.all(collection) {
        let object: K =
            serde_json::from_value(object).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(!object.name_any().is_empty(), "{path}");
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
}

fn node(name: &str) -> Value {
    let control_plane = name.starts_with("control");
    let labels = if control_plane {
        json!({"node-role.kubernetes.io/control-plane": ""})
    } else {
        json!({})
    };
    json!({
        "metadata": {"name": name, "labels": labels, "annotations": {}},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "bootID": "boot", "machineID": "m",
                "systemUUID": "s", "kernelVersion": "6", "osImage": "debian", "kubeletVersion": "v1.36.3",
                "kubeProxyVersion": "", "containerRuntimeVersion": "containerd://2.4.2",
            },
        },
    })
}

fn job_pod(job: &Value, operation: &str, outcome: &str) -> Value {
    let report = json!({
        "version": 1, "operation": operation, "outcome": outcome, "reason": "Reason", "message": "as told",
        "containerd": {"version": "2.4.2"}, "shim": {"digest": "d"}, "handlers": ["wasmtime"],
    });
    let code = if matches!(outcome, "done" | "unchanged") {
        0
    } else {
        3
    };
    let name = job["metadata"]["name"].as_str().expect("a name");
    json!({
        "metadata": {
            "name": format!("{name}-x"), "namespace": "nodes",
            "labels": {
                "batch.kubernetes.io/job-name": name,
                "app.kubernetes.io/component": "installer",
                "slipway.dev/node-shim": job["metadata"]["labels"]["slipway.dev/node-shim"],
            },
        },
        "status": {"phase": "Succeeded", "containerStatuses": [{
            "name": "installer", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {
                "exitCode": code, "message": report.to_string(), "finishedAt": "2026-01-01T00:00:00Z",
            }},
        }]},
    })
}
