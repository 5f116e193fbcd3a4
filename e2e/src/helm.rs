//! The chart through the real `helm`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::names::{NAMESPACE, RELEASE};
use crate::settings::{Settings, tool};

/// The chart's folder.
#[must_use]
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/slipway")
}

/// What `helm template` renders with these further arguments.
///
/// # Errors
/// With helm's own message.
pub async fn template(args: &[&str]) -> Result<String> {
    let chart = chart();
    let chart = chart.to_str().context("the chart's path is not UTF-8")?;
    let mut all = vec!["template", RELEASE, chart, "--namespace", NAMESPACE];
    all.extend_from_slice(args);
    let output = helm(&all).await?;
    if !output.ok {
        bail!("{}", output.stderr.trim());
    }
    Ok(output.stdout)
}

/// What `helm lint --strict` says; it may fail.
///
/// # Errors
/// When helm cannot be run.
pub async fn lint() -> Result<command::Output> {
    let chart = chart();
    helm(&[
        "lint",
        "--strict",
        chart.to_str().context("the chart's path is not UTF-8")?,
    ])
    .await
}

/// Installs the chart with the images of this test bed, as a user does, or upgrades it to them.
///
/// # Errors
/// With helm's own message.
pub async fn install(settings: &Settings) -> Result<()> {
    let chart = chart();
    let chart = chart.to_str().context("the chart's path is not UTF-8")?;
    let kubeconfig = settings
        .kubeconfig
        .to_str()
        .context("the kubeconfig's path is not UTF-8")?;
    let operator = format!("image.tag={}", settings.tag);
    let installer = format!("installer.image.tag={}", settings.tag);
    let args = [
        "upgrade",
        "--install",
        "--kubeconfig",
        kubeconfig,
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        RELEASE,
        chart,
        "--set",
        &operator,
        "--set",
        &installer,
    ];
    let output = helm(&args).await?;
    if !output.ok {
        bail!("helm upgrade --install: {}", output.stderr.trim());
    }
    Ok(())
}

async fn helm(args: &[&str]) -> Result<command::Output> {
    let helm = tool("helm", "SLIPWAY_HELM")?;
    command::run(&helm, args, "", Duration::from_secs(120))
        .await
        .context("helm is needed: run ./just cluster, or name one in SLIPWAY_HELM")
}
