//! A status as meta/v1 conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use slipway_crds::conditions::{
    DEGRADED, PROGRESSING, READY, RECONCILING, STALLED, Setting, find, renew,
};
use slipway_crds::{NodeShim, NodeShimStatus, Phase};

use crate::rollout::STOPPED;

/// The verdict an earlier plan wrote, for a plan that has nothing to add. `Progressing` carries it in
/// every phase, while `Ready` speaks of the proof as long as that stands.
pub(super) fn verdict_of(status: &NodeShimStatus) -> Option<(String, String)> {
    let carrier = find(&status.conditions, PROGRESSING)?;
    Some((carrier.reason.clone(), carrier.message.clone()))
}

/// The conditions of `status`, given why it stands where it stands.
pub(super) fn of(
    status: &NodeShimStatus,
    object: &NodeShim,
    (reason, message): (&str, &str),
    conflicts: &[String],
    now: &Time,
) -> Vec<Condition> {
    let setting = |type_, status, reason: &str, message: &str| Setting {
        type_,
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    let leaving = object.metadata.deletion_timestamp.is_some();
    let ready = match &status.proof {
        Some(proof) if !leaving => setting(
            READY,
            true,
            "Verified",
            &format!(
                "a Wasm pod ran through {} at {}",
                proof.handlers.join(", "),
                proof.time.0
            ),
        ),
        _ => setting(READY, false, reason, message),
    };
    let at_work = !matches!(status.phase, Phase::Ready | Phase::Failed);
    let progressing = setting(PROGRESSING, at_work, reason, message);
    let degraded = if status.phase == Phase::Failed {
        setting(DEGRADED, true, reason, message)
    } else if !conflicts.is_empty() {
        setting(
            DEGRADED,
            true,
            "RuntimeClassConflict",
            &conflicts.join("; "),
        )
    } else {
        setting(DEGRADED, false, "AsExpected", "")
    };
    // A try after a failure is not taken for progress before it has succeeded: who watches would see the node fail and
    // recover for ever.
    let stage = if status.phase == Phase::Failed || reason == STOPPED {
        Some(setting(STALLED, true, reason, message))
    } else if status.failures > 0 && at_work {
        let why = status.last_error.as_deref().unwrap_or(message);
        Some(setting(STALLED, true, "Retrying", why))
    } else {
        at_work.then(|| setting(RECONCILING, true, reason, message))
    };
    let settings: Vec<_> = [ready, progressing, degraded]
        .into_iter()
        .chain(stage)
        .collect();
    renew(
        &status.conditions,
        &settings,
        object.metadata.generation,
        now,
    )
}
