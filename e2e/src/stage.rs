//! A test that has the whole cluster for itself: what it asks is answered by several nodes together, or it changes
//! the release that all tests share.

use std::panic::AssertUnwindSafe;

use anyhow::{Context, Result, anyhow};
use futures::FutureExt;
use futures::future::try_join_all;
use kube::Client;
use serde_json::{Value, json};

use crate::cluster::{self, Cluster};
use crate::scene::{Failure, Scene, Start, prepare, words};
use crate::settings::Settings;
use crate::turn::Turn;
use crate::untouched::Untouched;
use crate::{helm, namespace, provision, report, shim};

/// The cluster with one test on it.
#[derive(Clone)]
pub struct Stage {
    /// A client with every right.
    pub client: Client,
    /// Each worker, in the test's one namespace.
    pub scenes: Vec<Scene>,
    /// Images of the test bed.
    pub settings: Settings,
}

impl Stage {
    /// The spec of a `Shim` that puts the bundled shim on every worker, under a handler of this name.
    #[must_use]
    pub fn bundled(&self, handler: &str) -> Value {
        let names: Vec<_> = self.scenes.iter().map(|scene| &scene.worker.name).collect();
        json!({
            "source": { "bundled": {} },
            "nodeSelector": { "matchExpressions": [
                { "key": "kubernetes.io/hostname", "operator": "In", "values": names },
            ]},
            "handlers": [{ "name": handler }],
        })
    }

    /// Runs a scenario with a `Shim` of this name, which is taken away after it, also after a failure: the next test must
    /// not find it. Every worker must then be as before, byte by byte.
    ///
    /// # Errors
    /// With the scenario's, or with what is left.
    pub async fn leaves_nothing_of<F>(&self, shim: &str, scenario: F) -> Result<()>
    where
        F: AsyncFnOnce() -> Result<()>,
    {
        shim::delete(&self.client, shim, provision::PATIENCE).await?;
        let mut before = Vec::new();
        for scene in &self.scenes {
            before.push(Untouched::of(&scene.worker.inside).await?);
        }
        let outcome = scenario().await;
        let gone = shim::delete(&self.client, shim, provision::PATIENCE * 2).await;
        outcome?;
        gone?;
        for (scene, before) in self.scenes.iter().zip(&before) {
            let worker = &scene.worker;
            let is_back = before.is_back(&worker.inside).await;
            is_back.context(worker.name.clone())?;
        }
        Ok(())
    }
}

/// Runs `scenario` when no other test is on any worker, and puts the release back as all tests expect it.
///
/// # Errors
/// With its reason and a report of every worker.
pub async fn on_all_workers<F>(test: &str, start: Start, scenario: F) -> Result<(), Failure>
where
    F: AsyncFn(&Stage) -> Result<()>,
{
    run(test, start, scenario)
        .await
        .map_err(|error| Failure(format!("{test} failed: {error:#}")))
}

async fn run<F>(test: &str, start: Start, scenario: F) -> Result<()>
where
    F: AsyncFn(&Stage) -> Result<()>,
{
    let cluster = Cluster::connect().await?;
    let client = &cluster.client;
    let names: Vec<&str> = cluster
        .workers
        .iter()
        .map(|worker| worker.name.as_str())
        .collect();
    let _turn = Turn::alone(&names).await;
    let ns = namespace::create(client, test).await?;
    let scene = |index: usize| Scene {
        client: client.clone(),
        worker: cluster.workers[index].clone(),
        other: cluster.workers[(index + 1) % cluster.workers.len()].clone(),
        ns: ns.clone(),
        settings: cluster.settings.clone(),
    };
    let stage = Stage {
        client: client.clone(),
        scenes: (0..cluster.workers.len()).map(scene).collect(),
        settings: cluster.settings.clone(),
    };
    let outcome = AssertUnwindSafe(async {
        try_join_all(stage.scenes.iter().map(|scene| prepare(scene, start))).await?;
        scenario(&stage).await
    })
    .catch_unwind()
    .await
    .unwrap_or_else(|panic| Err(anyhow!("{}", words(panic.as_ref()))));
    let outcome = match outcome {
        Ok(()) => Ok(()),
        Err(error) => {
            let mut text = format!("{error:#}");
            for worker in &cluster.workers {
                text.push_str(&report::of(client, worker, &ns).await);
            }
            Err(anyhow!(text))
        }
    };
    let cleared = namespace::delete(client, &ns).await;
    let restored = async {
        helm::install(&cluster.settings).await?;
        cluster::operator_ready(client).await
    }
    .await
    .context("the release cannot be put back");
    outcome.and(cleared).and(restored)
}
