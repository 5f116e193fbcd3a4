//! The installer killed at each step of its journal, containerd that does not survive its restart, and nobody left but the
//! watchdog: containerd answers, pods keep running, and the next run goes on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use slipway_e2e::events;
use slipway_e2e::fault::{Fault, NO_START, NoStart};
use slipway_e2e::identity::{self, Identity, TICKERS};
use slipway_e2e::installer::{Installer, Operation, Watchdog};
use slipway_e2e::pods;
use slipway_e2e::provision::{self, Input};
use slipway_e2e::scene::{Failure, Scene, Start, on_each_worker};
use slipway_e2e::tree::Tree;
use slipway_e2e::untouched::Untouched;
use slipway_e2e::wait::until;
use slipway_e2e::{nodeshim, operator};

/// Another shim of the node, installed and taken away while pods run on the first, and its handler.
const SHIM: &str = "e2e-killed";

/// Within which containerd answers CRI after whatever happens to the installer.
const AT_MOST: Duration = Duration::from_secs(60);

/// What the watchdog alone makes of an install that is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing: it is not there yet, and nothing of containerd's is changed yet.
    Open,
    /// The files go back.
    Undone,
    /// It is finished: all files are written, and containerd proves healthy with them.
    Stands,
}

/// The steps after which the installer is killed, as it names them.
const STEPS: [(&str, End); 7] = [
    ("journal", End::Open),
    ("recovery unit", End::Open),
    ("write ...", End::Undone),
    ("applied", End::Stands),
    ("restart", End::Stands),
    ("proven", End::Stands),
    // The transaction is still open, and the node's record says already what stands there.
    ("commit", End::Stands),
];

/// The metric of installs that were rolled back.
const ROLLED_BACK: &str =
    "slipway_node_transactions_total{operation=\"install\",outcome=\"rolledBack\",reason=\"";

#[tokio::test]
async fn containerd_and_pods_survive_an_installer_killed_anywhere() -> Result<(), Failure> {
    let test = "containerd_and_pods_survive_an_installer_killed_anywhere";
    on_each_worker(test, Start::BareAlone, async |scene: &Scene| {
        let inside = &scene.worker.inside;
        Installer::sweep(inside, SHIM).await?;
        let before = Untouched::of(inside).await?;
        rolled_back_and_tried_again(scene, &before)
            .await
            .context("the operator's install, and containerd does not start with it")?;

        let identities = identity::tickers(scene).await?;

        let installer = Installer::of(inside, SHIM).await?;
        let outcome = faults(scene, &installer, &identities).await;
        if outcome.is_err() {
            // The next test's node: whatever stands open is ended, and what is installed goes.
            let _ = Installer::sweep(inside, SHIM).await;
        }
        outcome?;

        // Open, and nobody there to end it but the operator's next Job, which is one that takes away the other shim.
        installer
            .killed_after(Operation::Install, "write ...", Watchdog::Killed)
            .await?;
        inside.until_cri_answers(AT_MOST).await?;
        let stage = installer.open_stage().await?;
        ensure!(stage.as_deref() == Some("prepared"), "it is {stage:?}");
        remove(scene, "wasm").await?;
        provision::withdraw(&scene.client, &scene.worker.name).await?;
        provision::until_bare(&scene.client, &scene.worker.name).await?;
        before.is_back(inside).await?;
        inside.until_cri_answers(AT_MOST).await?;
        identities[0].holds(scene, "native").await?;
        Installer::sweep(inside, SHIM).await
    })
    .await
}

/// Asks for Wasm while containerd does not start with it; then it does.
async fn rolled_back_and_tried_again(scene: &Scene, before: &Untouched) -> Result<()> {
    let (client, node) = (&scene.client, scene.worker.name.as_str());
    let inside = &scene.worker.inside;
    let told = events::warnings(scene, "InstallRolledBack").await?.len();
    let counted = operator::metric(scene, ROLLED_BACK).await?;

    let fault = Fault::no_start(inside, NoStart::With("/opt/slipway")).await?;
    provision::request(client, node, Input::Annotation).await?;
    let message = until("a roll-back", provision::PATIENCE, || async {
        let Some(found) = nodeshim::get(client, node).await? else {
            return Ok(Err("there is no NodeShim".to_owned()));
        };
        let report = &found.data["status"]["lastReport"];
        Ok(if report["outcome"] == "rolledBack" {
            Ok(report["message"].as_str().unwrap_or_default().to_owned())
        } else {
            Err(nodeshim::summary(client, node).await)
        })
    })
    .await?;
    inside.until_cri_answers(AT_MOST).await?;
    // The next try is some seconds away.
    same(&before.tree, &inside.tree().await?)?;
    drop(fault);

    ensure!(
        message.contains(NO_START),
        "containerd's own line is missing: {message}"
    );
    events::until_warned(scene, "InstallRolledBack", told, &[NO_START]).await?;
    let now = operator::metric(scene, ROLLED_BACK).await?;
    ensure!(now > counted, "{ROLLED_BACK} was {counted} and is {now}");
    provision::until_ready(client, node).await
}

/// Everything that happens to the second shim, after which the node is as before it.
async fn faults(scene: &Scene, installer: &Installer, identities: &[Identity; 2]) -> Result<()> {
    let inside = &scene.worker.inside;
    let without = inside.tree().await?;
    for (step, end) in STEPS {
        install_is_killed(scene, installer, step, end)
            .await
            .with_context(|| format!("an install killed after {step:?}"))?;
        uninstall_is_killed(scene, installer, step)
            .await
            .with_context(|| format!("an uninstall killed after {step:?}"))?;
        same(&without, &inside.tree().await?).with_context(|| format!("after {step:?}"))?;
        for ((name, _), before) in TICKERS.iter().zip(identities) {
            before.holds(scene, name).await.context(step)?;
        }
    }
    uninstall_fails_to_restart(scene, installer)
        .await
        .context("an uninstall, and containerd does not start after it")?;
    same(&without, &inside.tree().await?)?;
    watchdog_fails_to_restart(scene, installer)
        .await
        .context("the watchdog alone, and containerd does not start with the change")?;
    same(&without, &inside.tree().await?)?;
    identity::still_tick(scene, identities).await
}

/// The watchdog is all that is left. Then the next run comes.
async fn install_is_killed(
    scene: &Scene,
    installer: &Installer,
    step: &str,
    end: End,
) -> Result<()> {
    let inside = &scene.worker.inside;
    let containerd = inside.containerd_pid().await?;
    installer
        .killed_after(Operation::Install, step, Watchdog::Left)
        .await?;
    inside.until_cri_answers(AT_MOST).await?;
    if end == End::Open {
        let stage = installer.open_stage().await?;
        ensure!(stage.as_deref() == Some("prepared"), "it is {stage:?}");
    } else {
        installer.until_closed(AT_MOST).await?;
        inside.until_cri_answers(AT_MOST).await?;
    }
    let stands = installer.is_installed().await?;
    ensure!(
        stands == (end == End::Stands),
        "to end as {end:?}, yet the node's record says {stands}"
    );
    let now = inside.containerd_pid().await?;
    ensure!(
        (now == containerd) == (end != End::Stands),
        "to end as {end:?}, and containerd was process {containerd} and is {now}"
    );

    // What stands is left alone.
    let next = if stands { "unchanged" } else { "done" };
    installer.run_to(Operation::Install, next).await?;
    let after = inside.containerd_pid().await?;
    ensure!(
        (after == now) == stands,
        "the next run was {next}, and containerd was process {now} and is {after}"
    );
    inside.until_cri_answers(AT_MOST).await
}

/// The next run is all that is left.
async fn uninstall_is_killed(scene: &Scene, installer: &Installer, step: &str) -> Result<()> {
    let inside = &scene.worker.inside;
    installer
        .killed_after(Operation::Uninstall, step, Watchdog::Killed)
        .await?;
    inside.until_cri_answers(AT_MOST).await?;
    let stage = installer.open_stage().await?;
    ensure!(stage.is_some(), "somebody else has ended the transaction");
    let report = installer.run(Operation::Uninstall).await?;
    ensure!(
        ["done", "unchanged"].contains(&report.outcome.as_str()),
        "the next run: {report:?}"
    );
    ensure!(
        installer.open_stage().await?.is_none() && !installer.is_installed().await?,
        "the next run left something: {report:?}"
    );
    inside.until_cri_answers(AT_MOST).await
}

/// The transaction rolls back by itself, to what is installed.
async fn uninstall_fails_to_restart(scene: &Scene, installer: &Installer) -> Result<()> {
    let inside = &scene.worker.inside;
    installer.run_to(Operation::Install, "done").await?;
    let installed = inside.tree().await?;
    let fault = Fault::no_start(inside, NoStart::Without(SHIM)).await?;
    let report = installer.run_to(Operation::Uninstall, "rolledBack").await?;
    inside.until_cri_answers(AT_MOST).await?;
    ensure!(
        report.message.contains(NO_START),
        "containerd's own line is missing: {report:?}"
    );
    same(&installed, &inside.tree().await?)?;
    drop(fault);
    installer.run_to(Operation::Uninstall, "done").await?;
    Ok(())
}

/// All files are written, the installer is gone, and containerd does not start with them.
async fn watchdog_fails_to_restart(scene: &Scene, installer: &Installer) -> Result<()> {
    let inside = &scene.worker.inside;
    let fault = Fault::no_start(inside, NoStart::With(SHIM)).await?;
    installer
        .killed_after(Operation::Install, "applied", Watchdog::Left)
        .await?;
    installer.until_closed(AT_MOST).await?;
    inside.until_cri_answers(AT_MOST).await?;
    drop(fault);
    ensure!(!installer.is_installed().await?, "it was not rolled back");
    Ok(())
}

fn same(before: &Tree, after: &Tree) -> Result<()> {
    let changes = before.changes(after);
    ensure!(changes.is_empty(), "not as before:\n{changes}");
    Ok(())
}

async fn remove(scene: &Scene, name: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.ns);
    let at_once = DeleteParams::default().grace_period(1);
    pods.delete(name, &at_once).await?;
    until(
        &format!("pod {name} to be gone"),
        pods::PATIENCE,
        || async {
            Ok(match pods.get_opt(name).await? {
                None => Ok(()),
                Some(_) => Err("still there".to_owned()),
            })
        },
    )
    .await
}
