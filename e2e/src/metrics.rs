//! The cluster's metrics server, which autoscalers and `kubectl top` ask.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::OnceCell;

use crate::command;
use crate::scene::Scene;
use crate::settings::tool;
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(90);

/// Sees to it that the metrics server is there and answers.
///
/// # Errors
/// When its manifest is refused or its API does not come up.
pub async fn install(scene: &Scene) -> Result<()> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED.get_or_try_init(|| apply(scene)).await.copied()
}

async fn apply(scene: &Scene) -> Result<()> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("testbed/metrics-server.yaml");
    let manifest = std::fs::read_to_string(&manifest)
        .with_context(|| format!("read {}", manifest.display()))?
        .replace("@IMAGE@", &scene.settings.metrics_server);
    let kubeconfig = scene.settings.kubeconfig.display().to_string();
    let args = ["--kubeconfig", &kubeconfig, "apply", "--filename", "-"];
    let kubectl = tool("kubectl", "SLIPWAY_KUBECTL")?;
    command::check(kubectl, &args, &manifest, PATIENCE).await?;
    until("the metrics API", PATIENCE, || async {
        let answer = scene.kubectl(&["top", "nodes"], "").await?;
        Ok(if answer.ok {
            Ok(())
        } else {
            Err(answer.stderr)
        })
    })
    .await
}
