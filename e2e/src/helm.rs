//! The chart through the real `helm`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::command;
use crate::file_server::AUTHORITY;
use crate::names::{NAMESPACE, RELEASE};
use crate::settings::{Settings, tool};

/// The chart's folder.
#[must_use]
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/slipway")
}

/// A chart as an earlier release's may have been, made in `folder` of the present one: a lower version, without the
/// watchers, and with definitions that lack `column`.
///
/// # Errors
/// When the chart is not as it was when this was written.
pub async fn earlier_chart(folder: &Path, column: &str) -> Result<PathBuf> {
    let copy = folder.join("slipway");
    let [from, to] = [chart(), copy.clone()].map(|path| path.display().to_string());
    command::check("cp", &["-R", &from, &to], "", Duration::from_secs(20)).await?;
    let edit = |file: &str, change: &dyn Fn(&str) -> String| -> Result<()> {
        let path = copy.join(file);
        let text = fs::read_to_string(&path)?;
        let changed = change(&text);
        ensure!(changed != text, "{}: nothing to change", path.display());
        Ok(fs::write(&path, changed)?)
    };
    edit("Chart.yaml", &|text| {
        let lines = text.lines().map(|line| match line.split_once(':') {
            Some(("version", _)) => "version: 0.0.1\n".to_owned(),
            _ => format!("{line}\n"),
        });
        lines.collect()
    })?;
    edit("files/crds/nodeshims.slipway.dev.yaml", &|text| {
        let entries: Vec<&str> = text.split("    - jsonPath: ").collect();
        let named = format!("name: {column}\n");
        let kept = entries.into_iter().filter(|entry| !entry.contains(&named));
        kept.collect::<Vec<_>>().join("    - jsonPath: ")
    })?;
    fs::remove_file(copy.join("templates/watch.yaml"))?;
    Ok(copy)
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

/// Installs the chart with the images of this test bed, as a user does, or upgrades it to them. Shims are fetched from
/// servers that the test bed's authority vouches for.
///
/// # Errors
/// With helm's own message.
pub async fn install(settings: &Settings) -> Result<()> {
    install_with(settings, &[]).await
}

/// As [`install`], with further values (`a.b=c`).
///
/// # Errors
/// With helm's own message.
pub async fn install_with(settings: &Settings, values: &[&str]) -> Result<()> {
    install_chart(settings, &chart(), values).await
}

/// As [`install_with`], from another chart.
///
/// # Errors
/// With helm's own message.
pub async fn install_chart(settings: &Settings, chart: &Path, values: &[&str]) -> Result<()> {
    let chart = chart.to_str().context("the chart's path is not UTF-8")?;
    let operator = format!("image.tag={}", settings.tag);
    let installer = format!("installer.image.tag={}", settings.tag);
    let authority = format!("installer.fetch.caConfigMap={AUTHORITY}");
    let mut args = vec![
        "upgrade",
        "--install",
        "--kubeconfig",
        kubeconfig(settings)?,
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        RELEASE,
        chart,
    ];
    for value in [&*operator, &*installer, &*authority].iter().chain(values) {
        args.extend(["--set", value]);
    }
    let output = helm(&args).await?;
    if !output.ok {
        bail!("helm upgrade --install: {}", output.stderr.trim());
    }
    Ok(())
}

/// Uninstalls the release, which cleans the nodes first.
///
/// # Errors
/// With helm's own message, the hook's log in it.
pub async fn uninstall(settings: &Settings) -> Result<()> {
    let args = [
        "uninstall",
        "--kubeconfig",
        kubeconfig(settings)?,
        "--namespace",
        NAMESPACE,
        RELEASE,
    ];
    // The hook alone may take 270 s.
    let output = run(&args, Duration::from_secs(320)).await?;
    if !output.ok {
        bail!(
            "helm uninstall: {}\n{}",
            output.stderr.trim(),
            output.stdout.trim()
        );
    }
    Ok(())
}

/// Runs the chart's own test, `helm test`, which leaves nothing when it passes.
///
/// # Errors
/// With helm's own message.
pub async fn test(settings: &Settings) -> Result<()> {
    let args = [
        "test",
        "--kubeconfig",
        kubeconfig(settings)?,
        "--namespace",
        NAMESPACE,
        "--timeout",
        "90s",
        RELEASE,
    ];
    let output = helm(&args).await?;
    ensure!(
        output.ok,
        "helm test: {}\n{}",
        output.stderr.trim(),
        output.stdout.trim()
    );
    ensure!(
        output.stdout.contains("Succeeded"),
        "helm test has run nothing: {}",
        output.stdout
    );
    Ok(())
}

fn kubeconfig(settings: &Settings) -> Result<&str> {
    let path = settings.kubeconfig.to_str();
    path.context("the kubeconfig's path is not UTF-8")
}

async fn helm(args: &[&str]) -> Result<command::Output> {
    run(args, Duration::from_secs(120)).await
}

async fn run(args: &[&str], patience: Duration) -> Result<command::Output> {
    let helm = tool("helm", "SLIPWAY_HELM")?;
    command::run(&helm, args, "", patience)
        .await
        .context("helm is needed: run ./just cluster, or name one in SLIPWAY_HELM")
}
