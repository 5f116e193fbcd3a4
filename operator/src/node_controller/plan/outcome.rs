//! What a finished Job means for the status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use slipway_crds::Phase;
use slipway_crds::node_shim::{Installed, LastReport, Operation};

use super::Draft;
use super::backoff::{self, Kind};
use crate::events::Reason;
use crate::report::{Outcome, Report, clean};

/// The reason of a Job that is over, and nobody knows what it did.
pub const NO_REPORT: &str = "NoReport";
/// The reason of one whose shim's files were not to be had.
pub const FETCH_FAILED: &str = "FetchFailed";

/// Takes in a report; says whether the node now is as asked.
pub(super) fn reported(draft: &mut Draft<'_>, report: &Report) -> bool {
    note(draft, report);
    draft.status.last_report = Some(short(report, draft.now()));
    match (report.outcome, report.operation) {
        (Outcome::Done | Outcome::Unchanged, Operation::Install) => {
            draft.status.installed = Some(installed(report, &draft.seen.goal.image));
            draft.event(Reason::Installed, report.message.clone());
            return true;
        }
        (Outcome::Done | Outcome::Unchanged, Operation::Uninstall) => {
            draft.status.installed = None;
            return true;
        }
        // By contract these leave the node as it was before: clean, or as an earlier install left it.
        (Outcome::Refused, _) => {
            let reason = match report.operation {
                Operation::Install => Reason::InstallRefused,
                Operation::Uninstall => Reason::UninstallFailed,
            };
            draft.event(reason, sentence(report));
            failed(draft, &report.reason, &report.message, Kind::Refused);
        }
        (Outcome::RolledBack, Operation::Install) => {
            draft.event(Reason::InstallRolledBack, sentence(report));
            failed(draft, &report.reason, &report.message, Kind::Failed);
        }
        (Outcome::Failed, Operation::Install) => {
            draft.lose_proof();
            draft.event(Reason::InstallFailed, sentence(report));
            failed(draft, &report.reason, &report.message, Kind::Failed);
        }
        (Outcome::RolledBack | Outcome::Failed, Operation::Uninstall) => {
            draft.event(Reason::UninstallFailed, sentence(report));
            failed(draft, &report.reason, &report.message, Kind::Failed);
        }
    }
    false
}

/// Tells what the report says besides; once, though each try again says it again.
fn note(draft: &mut Draft<'_>, report: &Report) {
    let told = draft.status.last_report.as_ref().map(|last| &last.notes);
    if !report.notes.is_empty() && told != Some(&report.notes) {
        draft.event(Reason::Noted, report.notes.join("; "));
    }
}

/// The Job is over and nobody knows what it did.
pub(super) fn silent(draft: &mut Draft<'_>, operation: Operation, message: &str) {
    let reason = match operation {
        Operation::Install => {
            // Whatever it has done, the proof was made before.
            draft.lose_proof();
            Reason::InstallFailed
        }
        Operation::Uninstall => Reason::UninstallFailed,
    };
    draft.event(reason, message);
    failed(draft, NO_REPORT, message, Kind::Failed);
}

/// The shim's files were not to be had, so the installer has not begun.
pub(super) fn unfetched(draft: &mut Draft<'_>, message: &str) {
    draft.event(Reason::FetchFailed, message);
    failed(draft, FETCH_FAILED, message, Kind::Failed);
    draft.status.refused = true;
}

/// The operation did not succeed; when it is tried again.
pub(super) fn failed(draft: &mut Draft<'_>, reason: &str, message: &str, kind: Kind) {
    draft.status.failures = draft.status.failures.saturating_add(1);
    draft.status.refused = kind == Kind::Refused;
    let node = &draft.seen.object.spec.node_name;
    let wait = backoff::delay(kind, draft.status.failures, node);
    draft.status.phase = Phase::Failed;
    draft.status.next_retry_time = Some(draft.in_future(wait));
    draft.status.last_error = Some(clean(&format!("{reason}: {message}"), 4096));
    draft.poll(wait);
    draft.say(reason, message);
}

fn sentence(report: &Report) -> String {
    format!("{}: {}", report.reason, report.message)
}

fn short(report: &Report, time: Time) -> LastReport {
    LastReport {
        operation: report.operation,
        outcome: report.outcome.as_str().to_owned(),
        reason: report.reason.clone(),
        message: report.message.clone(),
        notes: report.notes.clone(),
        restarted: report.restarted,
        duration_ms: report.duration_ms(),
        time,
    }
}

fn installed(report: &Report, image: &str) -> Installed {
    let containerd = report.containerd.clone().unwrap_or_default();
    let shim = report.shim.clone().unwrap_or_default();
    let bounded = |text: Option<String>, max| text.map(|text| clean(&text, max));
    Installed {
        digest: bounded(shim.digest, 128),
        path: bounded(shim.path, 512),
        containerd_version: bounded(containerd.version, 128),
        config_file: bounded(containerd.config, 512),
        method: bounded(containerd.method, 32),
        cgroup_driver: bounded(report.cgroup_driver.clone(), 32),
        handlers: report.handlers.clone(),
        installer_image: Some(clean(image, 1024)),
    }
}
