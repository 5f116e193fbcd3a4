//! A node that leaves the cluster and joins it again, as another of the same name.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::cluster::Worker;
use crate::node::Inside;
use crate::wait::until;

/// A kubelet starts, registers its node, and reports it ready.
const PATIENCE: Duration = Duration::from_secs(90);

/// A node that has left. Dropped, it comes back: the kubelet makes the Node object when it starts.
pub struct Absent {
    client: Client,
    inside: Inside,
    name: String,
    uid: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    is_back: bool,
}

impl Absent {
    /// Stops the node's kubelet and deletes its Node object.
    ///
    /// # Errors
    /// When the node cannot be entered or the API server refuses.
    pub async fn of(client: &Client, worker: &Worker) -> Result<Self> {
        let nodes: Api<Node> = Api::all(client.clone());
        let meta = nodes.get(&worker.name).await?.metadata;
        let absent = Self {
            client: client.clone(),
            inside: worker.inside.clone(),
            name: worker.name.clone(),
            uid: meta.uid.unwrap_or_default(),
            labels: theirs(meta.labels),
            annotations: theirs(meta.annotations),
            is_back: false,
        };
        worker.inside.bash("systemctl stop kubelet").await?;
        nodes.delete(&worker.name, &DeleteParams::default()).await?;
        Ok(absent)
    }

    /// Starts the kubelet, waits until its node is ready, and gives it what others had written on the old one. Returns
    /// the new UID.
    ///
    /// # Errors
    /// When it does not come back in time.
    pub async fn rejoin(mut self) -> Result<String> {
        self.inside.bash("systemctl start kubelet").await?;
        self.is_back = true;
        let nodes: Api<Node> = Api::all(self.client.clone());
        let what = format!("{} to join", self.name);
        let uid = until(&what, PATIENCE, || async {
            let Some(node) = nodes.get_opt(&self.name).await? else {
                return Ok(Err("there is no such Node".to_owned()));
            };
            let conditions = node.status.and_then(|status| status.conditions);
            let mut conditions = conditions.iter().flatten();
            let ready = conditions.any(|c| c.type_ == "Ready" && c.status == "True");
            Ok(match node.metadata.uid {
                Some(uid) if uid != self.uid && ready => Ok(uid),
                uid => Err(format!("{uid:?}, ready: {ready}")),
            })
        })
        .await?;
        let known = nodes.get(&self.name).await?.metadata;
        let missing = |old: &BTreeMap<String, String>, new: Option<BTreeMap<String, String>>| {
            let new = new.unwrap_or_default();
            let mut old = old.clone();
            old.retain(|key, _| !new.contains_key(key));
            old
        };
        let patch = json!({ "metadata": {
            "labels": missing(&self.labels, known.labels),
            "annotations": missing(&self.annotations, known.annotations),
        }});
        nodes
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        if uid.is_empty() {
            bail!("{} came back without a UID", self.name);
        }
        Ok(uid)
    }
}

impl Drop for Absent {
    fn drop(&mut self) {
        if !self.is_back
            && let Err(error) = self.inside.bash_now("systemctl restart kubelet")
        {
            #[allow(clippy::print_stderr, reason = "the only way left to say it")]
            {
                eprintln!("{} stays away: {error:#}", self.name);
            }
        }
    }
}

/// What is neither ours nor a request for Wasm.
fn theirs(all: Option<BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let mut all = all.unwrap_or_default();
    all.retain(|key, _| {
        let ours = ["slipway.dev/", "kwasm.sh/", "kubernetes.io/wasm"];
        key.contains("testbed") || !ours.iter().any(|start| key.starts_with(start))
    });
    all
}
