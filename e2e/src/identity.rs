//! Who a pod is: if any of it changes, it is another pod.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use crate::node::Process;
use crate::pods::{self, Runtime};
use crate::scene::Scene;

/// The pods that [`tickers`] runs.
pub const TICKERS: [(&str, Runtime); 2] = [("native", Runtime::Native), ("wasm", Runtime::Wasm)];

/// A pod with one container, and the process behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// UID of the pod.
    pub uid: String,
    /// Id of its container.
    pub container: String,
    /// How often the kubelet has restarted it.
    pub restarts: i32,
    /// Its first process.
    pub process: Process,
}

impl Identity {
    /// Of the pod of this name on the scene's worker.
    ///
    /// # Errors
    /// When its container does not run.
    pub async fn of(scene: &Scene, name: &str) -> Result<Self> {
        let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.ns);
        let pod = pods.get(name).await?;
        let container = pods::container_id(&pod)?.to_owned();
        let process = scene.worker.inside.process(&container).await?;
        let status = pods::status(&pod).context("no container status")?;
        Ok(Self {
            restarts: status.restart_count,
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            container,
            process,
        })
    }

    /// The pod of this name is still this one.
    ///
    /// # Errors
    /// With both when it is not.
    pub async fn holds(&self, scene: &Scene, name: &str) -> Result<()> {
        let now = Self::of(scene, name).await?;
        ensure!(
            now == *self,
            "{name} became another: {self:?}, then {now:?}"
        );
        Ok(())
    }
}

/// Runs the two of [`TICKERS`], and tells who they are once each has written a line.
///
/// # Errors
/// When one of them does not begin.
pub async fn tickers(scene: &Scene) -> Result<[Identity; 2]> {
    for (name, runtime) in TICKERS {
        pods::create(&scene.client, &scene.ns, scene.ticker(name, runtime)).await?;
    }
    let [native, wasm] = TICKERS.map(|(name, _)| ticking(scene, name));
    Ok([native.await?, wasm.await?])
}

/// The two of [`TICKERS`] are still these, and still write.
///
/// # Errors
/// Names the one that is or does not.
pub async fn still_tick(scene: &Scene, before: &[Identity; 2]) -> Result<()> {
    for ((name, _), before) in TICKERS.iter().zip(before) {
        before.holds(scene, name).await?;
        let log = pods::log(&scene.client, &scene.ns, name).await?;
        pods::until_says_more(&scene.client, &scene.ns, name, log.lines().count())
            .await
            .context("its output is lost")?;
    }
    Ok(())
}

async fn ticking(scene: &Scene, name: &str) -> Result<Identity> {
    pods::until_ready(&scene.client, &scene.ns, name).await?;
    pods::until_says_more(&scene.client, &scene.ns, name, 0).await?;
    Identity::of(scene, name).await
}
