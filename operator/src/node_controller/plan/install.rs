//! The node is to have the shim.

use std::time::Duration;

use slipway_crds::node_shim::{Operation, Proof, Transaction};
use slipway_crds::shim::CanarySuccess;
use slipway_crds::{Phase, names};

use super::backoff::Kind;
use super::{Action, Draft, POLL, outcome, proof};
use crate::events::Reason;
use crate::node_controller::observed::{CanaryState, JobState};
use crate::node_facts::NodeFacts;
use crate::rollout::STOPPED;
use crate::turns::WAITING;

/// How long canaries may take together. The pods' own deadline is shorter; this one is for a kubelet
/// that does not enforce it.
const VERIFY_SECONDS: i64 = 180;

pub(super) fn step(draft: &mut Draft<'_>, node: &NodeFacts) {
    let spec = &draft.seen.object.spec;
    let name = draft
        .seen
        .object
        .metadata
        .name
        .as_deref()
        .unwrap_or_default();
    let wanted = names::node_shim(&spec.node_name, &spec.shim);
    if name != wanted {
        return dead_end(
            draft,
            "WrongName",
            format!("the NodeShim of this node and shim is {wanted}"),
        );
    }
    if let Some(why) = &draft.seen.unsupported {
        draft.unlabel(node);
        draft.status.proof = None;
        if draft.status.phase != Phase::Failed {
            draft.event(Reason::UnsupportedNode, why.clone());
        }
        return dead_end(draft, "UnsupportedNode", why.clone());
    }
    if let Some(why) = &draft.seen.taken {
        draft.unlabel(node);
        if draft.status.phase != Phase::Failed {
            draft.event(Reason::HandlerTaken, why.clone());
        }
        return dead_end(draft, "HandlerTaken", why.clone());
    }
    check_proof(draft, node);
    match draft.status.phase {
        Phase::Pending | Phase::Draining | Phase::Removing => begin(draft, node),
        Phase::Installing => installing(draft, node),
        Phase::Verifying => verifying(draft, node),
        Phase::Ready => ready(draft, node),
        Phase::Failed => failed(draft, node),
    }
    // Labels follow the proof and nothing else, whatever the phase: put back when someone removed
    // them, kept through an upgrade, gone with the proof.
    if draft.status.proof.is_some() {
        draft.label(node);
    } else {
        draft.unlabel(node);
    }
}

/// Nothing to do until the object or its node changes.
fn dead_end(draft: &mut Draft<'_>, reason: &str, message: String) {
    draft.status.phase = Phase::Failed;
    draft.status.next_retry_time = None;
    draft.status.last_error = Some(message.clone());
    draft.say(reason, message);
}

fn check_proof(draft: &mut Draft<'_>, node: &NodeFacts) {
    let Some(held) = &draft.status.proof else {
        return;
    };
    let drift = proof::drifted(held, &draft.seen.drifts).cloned();
    let lost = proof::lost(held, node, &draft.seen.goal);
    let Some(why) = lost.or_else(|| drift.as_ref().map(|drift| drift.message.clone())) else {
        return;
    };
    if let Some(drift) = drift {
        draft.actions.push(Action::DeleteWatcher(drift.pod));
    }
    draft.status.proof = None;
    draft.event(
        Reason::ProofLost,
        format!("{why}; the labels are off until a Wasm pod has run again"),
    );
    if draft.status.phase == Phase::Ready {
        draft.status.phase = Phase::Pending;
        draft.say("ProofLost", why);
    }
}

fn begin(draft: &mut Draft<'_>, node: &NodeFacts) {
    draft.status.phase = Phase::Pending;
    if !node.ready {
        draft.poll(POLL);
        return draft.say("NodeNotReady", "waits for the node to be Ready");
    }
    if let Some(why) = &draft.seen.stopped {
        draft.poll(POLL);
        return draft.say(STOPPED, format!("the roll-out is stopped: {why}"));
    }
    if !draft.seen.turn {
        draft.poll(POLL);
        return draft.say(
            WAITING,
            "waits until no more nodes than allowed are being changed",
        );
    }
    draft.delete_canaries(|_| true);
    if let Some(transaction) = unproven(draft) {
        return prove(draft, transaction);
    }
    draft.begin(Operation::Install, Phase::Installing);
    draft.event(
        Reason::InstallStarted,
        format!("installing {}", draft.seen.goal.what),
    );
    draft.say("Installing", "the installer is started on the node");
}

/// The last transaction, if it has put on the node what is asked for and nothing but the canary is new. After a
/// reboot, when there is neither a proof nor a failed try, the installer has to look as well.
fn unproven(draft: &Draft<'_>) -> Option<Transaction> {
    let (status, goal) = (&draft.status, &draft.seen.goal);
    let last = status.transaction.as_ref()?;
    let stands = last.operation == Operation::Install
        && last.goal == goal.hash
        && last.verify_time.is_some()
        && (status.proof.is_some() || status.failures > 0);
    (stands && last.canary != goal.canary_hash).then(|| last.clone())
}

/// Another canary, and nothing else: the node stays as it is, and labelled, unless the pod fails.
fn prove(draft: &mut Draft<'_>, transaction: Transaction) {
    draft.forgive();
    draft.event(
        Reason::CanaryChanged,
        "another canary is asked for; a Wasm pod is started on the node",
    );
    verify(draft, transaction);
}

fn installing(draft: &mut Draft<'_>, node: &NodeFacts) {
    let Some(transaction) = draft.status.transaction.clone() else {
        draft.status.phase = Phase::Pending;
        return draft.poll(Duration::ZERO);
    };
    match &draft.seen.job {
        // Settings changed before the Job was made, or the Job has vanished: begin again as of now.
        JobState::Missing if transaction.goal != draft.seen.goal.hash => {
            draft.begin(Operation::Install, Phase::Installing);
            draft.say("Installing", "the installer is started on the node");
        }
        JobState::Missing => {
            if !node.touched_by.contains(&draft.seen.goal.shim) {
                draft.actions.push(Action::Mark(true));
            }
            draft.actions.push(Action::CreateJob(transaction));
            draft.poll(POLL);
            draft.say("Installing", "the installer is started on the node");
        }
        JobState::Running { hint } => {
            let hint = hint.clone();
            draft.poll(POLL);
            draft.say("Installing", told("the installer runs on the node", hint));
        }
        JobState::Reported(report) => {
            if outcome::reported(draft, report) {
                verify(draft, transaction);
            }
        }
        JobState::Silent { message } => outcome::silent(draft, Operation::Install, message),
        JobState::Unfetched { message } => outcome::unfetched(draft, message),
    }
}

fn verify(draft: &mut Draft<'_>, mut transaction: Transaction) {
    transaction.canary.clone_from(&draft.seen.goal.canary_hash);
    transaction.verify_time = Some(draft.now());
    draft.status.transaction = Some(transaction);
    draft.status.phase = Phase::Verifying;
    draft.status.next_retry_time = None;
    draft.say("Verifying", "a Wasm pod is started on the node");
    draft.poll(Duration::ZERO);
}

fn verifying(draft: &mut Draft<'_>, node: &NodeFacts) {
    let last = draft.status.transaction.clone();
    if let Some(last) = last.filter(|last| last.canary != draft.seen.goal.canary_hash) {
        draft.delete_canaries(|_| true);
        return prove(draft, last);
    }
    let wanted = draft.wanted_canaries();
    let state = |name: &str| {
        let mut all = draft.seen.canaries.iter();
        all.find(|canary| canary.name == name)
            .map(|canary| &canary.state)
    };
    let has_run = |name: &str| match state(name) {
        Some(CanaryState::Succeeded) => true,
        Some(CanaryState::Up) => draft.seen.goal.canary == CanarySuccess::Running,
        _ => false,
    };
    let failure = wanted.iter().find_map(|(name, handler)| match state(name) {
        Some(CanaryState::Failed { message }) => Some(format!(
            "the Wasm pod {name} through handler {handler} failed: {message}"
        )),
        _ => None,
    });
    if let Some(message) = failure {
        return canary_failed(draft, &message);
    }
    if wanted.iter().all(|(name, _)| has_run(name)) {
        return proven(draft, node);
    }
    let began = draft
        .status
        .transaction
        .as_ref()
        .and_then(|t| t.verify_time.clone());
    let late =
        began.is_none_or(|began| draft.seen.now.as_second() - began.0.as_second() > VERIFY_SECONDS);
    let hint = wanted.iter().find_map(|(name, _)| match state(name) {
        Some(CanaryState::Running { hint }) => hint.clone(),
        _ => None,
    });
    if late {
        let message = told(
            &format!("no Wasm pod has run within {VERIFY_SECONDS} s"),
            hint,
        );
        return canary_failed(draft, &message);
    }
    let missing: Vec<_> = wanted
        .iter()
        .filter(|(name, _)| state(name).is_none())
        .cloned()
        .collect();
    draft.actions.extend(
        missing
            .into_iter()
            .map(|(name, handler)| Action::CreateCanary { name, handler }),
    );
    draft.poll(POLL);
    draft.say("Verifying", told("a Wasm pod is tried on the node", hint));
}

fn canary_failed(draft: &mut Draft<'_>, message: &str) {
    draft.status.proof = None;
    draft.event(Reason::CanaryFailed, message);
    // Failed pods stay until the next try, to be looked at; those still at it are of no more use.
    draft.delete_canaries(|canary| {
        matches!(canary.state, CanaryState::Running { .. } | CanaryState::Up)
    });
    outcome::failed(draft, "CanaryFailed", message, Kind::Failed);
}

fn proven(draft: &mut Draft<'_>, node: &NodeFacts) {
    // While the kubelet cannot name its runtime there is nothing to compare with later: look again.
    let Some(runtime_version) = node.known_runtime_version() else {
        draft.poll(Duration::from_secs(2));
        return draft.say(
            "Verifying",
            "waits for the kubelet to name its container runtime",
        );
    };
    let Some(transaction) = draft.status.transaction.clone() else {
        draft.status.phase = Phase::Pending;
        return draft.poll(Duration::ZERO);
    };
    draft.status.proof = Some(Proof {
        time: draft.now(),
        goal: transaction.goal,
        canary: transaction.canary,
        boot_id: node.boot_id.clone(),
        runtime_version: runtime_version.to_owned(),
        handlers: draft.seen.goal.handlers.clone(),
    });
    draft.status.phase = Phase::Ready;
    draft.status.failures = 0;
    draft.status.refused = false;
    draft.status.next_retry_time = None;
    draft.status.last_error = None;
    draft.event(
        Reason::WasmReady,
        format!(
            "a Wasm pod ran through {}",
            draft.seen.goal.handlers.join(", ")
        ),
    );
    draft.say("Verified", "a Wasm pod has run on the node");
    if !draft.seen.conflicts.is_empty() {
        draft.event(
            Reason::RuntimeClassConflict,
            draft.seen.conflicts.join("; "),
        );
    }
}

fn ready(draft: &mut Draft<'_>, node: &NodeFacts) {
    let up_to_date = draft.status.proof.as_ref().is_some_and(|proof| {
        proof.goal == draft.seen.goal.hash && proof.canary == draft.seen.goal.canary_hash
    });
    if up_to_date {
        draft.delete_canaries(|_| true);
        draft.say("Verified", "a Wasm pod has run on the node");
    } else {
        begin(draft, node);
    }
}

fn failed(draft: &mut Draft<'_>, node: &NodeFacts) {
    let (last, goal) = (&draft.status.transaction, &draft.seen.goal);
    let asked_anew = last
        .as_ref()
        .is_none_or(|last| last.goal != goal.hash || last.canary != goal.canary_hash);
    let due = draft.status.next_retry_time.as_ref().map(|time| time.0);
    match due {
        Some(due) if due > draft.seen.now && !asked_anew => {
            draft.poll(wait(draft, due));
        }
        _ => begin(draft, node),
    }
}

fn wait(draft: &Draft<'_>, until: k8s_openapi::jiff::Timestamp) -> Duration {
    let seconds = until.as_second().saturating_sub(draft.seen.now.as_second());
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0) + 1)
}

fn told(what: &str, hint: Option<String>) -> String {
    match hint {
        Some(hint) => format!("{what}; {hint}"),
        None => what.to_owned(),
    }
}
