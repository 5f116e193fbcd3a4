//! A test on every worker at once: its turn on the node, the state it starts from, a namespace, and a report
//! when it fails.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;

use anyhow::{Result, anyhow};
use futures::FutureExt;
use futures::future::join_all;
use kube::Client;

use crate::cluster::{Cluster, Worker};
use crate::settings::Settings;
use crate::turn::Turn;
use crate::{fault, namespace, provision, report};

/// What a test wants of the node it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Wasm runs on it; other tests may run pods there at the same time.
    ReadyShared,
    /// Wasm runs on it, and no other test is there.
    ReadyAlone,
    /// It is as before any install, and no other test is there.
    BareAlone,
}

/// Why a test failed, for people. A test's error is printed by its `Debug`, so that is the text itself: a
/// backtrace of the harness tells nothing about a node.
pub struct Failure(pub(crate) String);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One worker with a test on it.
#[derive(Clone)]
pub struct Scene {
    /// A client with every right.
    pub client: Client,
    /// The node the test is about.
    pub worker: Worker,
    /// Another worker, to look at this one from.
    pub other: Worker,
    /// The test's own namespace.
    pub ns: String,
    /// Images of the test bed.
    pub settings: Settings,
}

/// Runs `scenario` on every worker, at the same time on each. It passes when it passes on all.
///
/// # Errors
/// Names the workers on which it failed, each with its reason and its report.
pub async fn on_each_worker<F>(test: &str, start: Start, scenario: F) -> Result<(), Failure>
where
    F: AsyncFn(&Scene) -> Result<()>,
{
    let cluster = Cluster::connect()
        .await
        .map_err(|error| Failure(format!("{error:#}")))?;
    let runs = cluster
        .workers
        .iter()
        .map(|worker| on(&cluster, worker, test, start, &scenario));
    let failures: Vec<String> = join_all(runs)
        .await
        .into_iter()
        .filter_map(|run| run.err().map(|error| format!("{error:#}")))
        .collect();
    if failures.is_empty() {
        return Ok(());
    }
    let all = failures.join("\n");
    Err(Failure(format!(
        "{test} failed on {} worker(s):\n{all}",
        failures.len()
    )))
}

/// Runs `scenario` on one worker, for what is the same on each containerd: the first, the second, and so on, so that
/// such tests stand side by side.
///
/// # Errors
/// With its reason and the worker's report.
pub async fn on_one_worker<F>(
    test: &str,
    start: Start,
    which: usize,
    scenario: F,
) -> Result<(), Failure>
where
    F: AsyncFn(&Scene) -> Result<()>,
{
    let run = async {
        let cluster = Cluster::connect().await?;
        let worker = &cluster.workers[which % cluster.workers.len()];
        on(&cluster, worker, test, start, &scenario).await
    };
    run.await
        .map_err(|error| Failure(format!("{test} failed on {error:#}")))
}

async fn on<F>(
    cluster: &Cluster,
    worker: &Worker,
    test: &str,
    start: Start,
    scenario: &F,
) -> Result<()>
where
    F: AsyncFn(&Scene) -> Result<()>,
{
    let client = &cluster.client;
    let other = cluster
        .workers
        .iter()
        .find(|other| other.name != worker.name)
        .ok_or_else(|| anyhow!("{} is the only worker", worker.name))?;
    let _turn = match start {
        Start::ReadyShared => Turn::shared(&worker.name).await,
        Start::ReadyAlone | Start::BareAlone => Turn::alone(&[&worker.name]).await,
    };
    let ns = namespace::create(client, test).await?;
    let scene = Scene {
        client: client.clone(),
        worker: worker.clone(),
        other: other.clone(),
        ns: ns.clone(),
        settings: cluster.settings.clone(),
    };
    let outcome = AssertUnwindSafe(async {
        prepare(&scene, start).await?;
        scenario(&scene).await
    })
    .catch_unwind()
    .await
    .unwrap_or_else(|panic| Err(anyhow!("{}", words(panic.as_ref()))));
    let outcome = match outcome {
        Ok(()) => Ok(()),
        Err(error) => {
            let report = report::of(client, worker, &ns).await;
            Err(anyhow!("{}: {error:#}\n{report}", worker.name))
        }
    };
    let cleared = namespace::delete(client, &ns).await;
    outcome.and(cleared)
}

/// Brings the scene's worker to the state a test starts from.
pub(crate) async fn prepare(scene: &Scene, start: Start) -> Result<()> {
    let node = &scene.worker.name;
    match start {
        Start::ReadyShared => provision::ensure_ready(&scene.client, node).await,
        Start::ReadyAlone => {
            fault::mend(&scene.worker.inside).await?;
            provision::ensure_ready(&scene.client, node).await
        }
        Start::BareAlone => {
            fault::mend(&scene.worker.inside).await?;
            provision::ensure_bare(&scene.client, node).await
        }
    }
}

/// What a panic said. Where it happened is in the test's captured output, by the panic hook.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<String>() {
        return text.clone();
    }
    panic
        .downcast_ref::<&str>()
        .map_or_else(|| "a panic".to_owned(), |text| (*text).to_owned())
}
