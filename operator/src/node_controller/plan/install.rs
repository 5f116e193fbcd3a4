//! The node is to have the shim.

use std::time::Duration;

use slipway_crds::node_shim::{Operation, Proof, Transaction};
use slipway_crds::shim::CanarySuccess;
use slipway_crds::{Phase, names};

use super::backoff::{self, Kind};
use super::{Action, Draft, POLL, outcome, proof};
use crate::events::Reason;
use crate::goal::MOST_TOLD;
use crate::node_controller::observed::{CanaryState, JobState};
use crate::node_facts::NodeFacts;
use crate::rollout::STOPPED;
use crate::turns::WAITING;

/// How long canaries may take together. The pods' own deadline is shorter; this one is for a kubelet
/// that does not enforce it.
const VERIFY_SECONDS: i64 = 180;
/// A proof that has held for so long is not undone by whatever undid the one before.
const STABLE_SECONDS: i64 = 3600;
/// How often in a row what is gone is put back at once. After that each time waits longer.
const DRIFTS_AT_ONCE: u32 = 8;

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
        draft.lose_proof();
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
    if matches!(draft.status.phase, Phase::Installing | Phase::Verifying) {
        dismiss_watchers(draft);
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
    let before = draft.status.drifts;
    let held_for = draft.seen.now.as_second() - held.time.0.as_second();
    let drift = proof::drifted(&held.handlers, &draft.seen.drifts);
    let drift = drift.map(|drift| drift.message.clone());
    let why = match (proof::lost(held, node, &draft.seen.goal), drift) {
        (Some(why), _) => why,
        (None, Some(why)) => {
            let again = held_for < STABLE_SECONDS;
            draft.status.drifts = if again { draft.status.drifts } else { 0 }.saturating_add(1);
            why
        }
        (None, None) => return,
    };
    draft.lose_proof();
    draft.event(
        Reason::ProofLost,
        format!("{why}; the labels are off until a Wasm pod has run again"),
    );
    if draft.status.phase != Phase::Ready {
        return;
    }
    draft.status.phase = Phase::Pending;
    let brake = draft.status.drifts.saturating_sub(DRIFTS_AT_ONCE);
    if brake == 0 || draft.status.drifts == before {
        return draft.say("ProofLost", why);
    }
    // Whoever takes it away does so again and again, and each repair restarts containerd.
    let wait = backoff::delay(Kind::Failed, brake, &draft.seen.object.spec.node_name);
    draft.status.phase = Phase::Failed;
    draft.status.next_retry_time = Some(draft.in_future(wait));
    draft.say(
        "DriftRecurs",
        format!(
            "{why}; found so {} times, each within an hour of a repair: find what undoes it",
            draft.status.drifts
        ),
    );
}

/// What a watcher has told is being put right, so it is of no more use: what is found from then on, the next one tells.
/// Not before, since the next one would tell the same.
fn dismiss_watchers(draft: &mut Draft<'_>) {
    if draft.status.proof.is_some() {
        return;
    }
    let told = draft.seen.drifts.iter();
    let ours = told.filter(|drift| proof::concerns(drift, &draft.seen.goal.handlers));
    draft
        .actions
        .extend(ours.map(|drift| Action::DeleteWatcher(drift.pod.clone())));
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
    if draft.seen.goal.told > MOST_TOLD {
        let message = format!(
            "handlers and their options have {} bytes, more than the {MOST_TOLD} that an installer can be told",
            draft.seen.goal.told
        );
        return dead_end(draft, "SpecTooLarge", message);
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

/// Begins anew in the middle of a transaction, since something else is asked for. What it has put on the node stays untried
/// if the new one has to wait.
fn begin_instead(draft: &mut Draft<'_>, node: &NodeFacts) {
    begin(draft, node);
    if !draft.status.phase.is_busy() {
        draft.lose_untried_proof();
    }
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
        JobState::Missing if transaction.goal != draft.seen.goal.hash => begin_instead(draft, node),
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
                if transaction.goal == draft.seen.goal.hash {
                    verify(draft, transaction);
                } else {
                    // Other handlers may be asked for by now, and this install has not brought them.
                    begin_instead(draft, node);
                }
            }
        }
        JobState::Silent { message } => outcome::silent(draft, Operation::Install, message),
        JobState::Unfetched { message } => outcome::unfetched(draft, message),
    }
}

fn verify(draft: &mut Draft<'_>, mut transaction: Transaction) {
    transaction.canary.clone_from(&draft.seen.goal.canary_hash);
    transaction.address.clone_from(&draft.seen.goal.address);
    transaction.verify_time = Some(draft.now());
    draft.status.transaction = Some(transaction);
    draft.status.phase = Phase::Verifying;
    draft.status.next_retry_time = None;
    draft.say("Verifying", "a Wasm pod is started on the node");
    draft.poll(Duration::ZERO);
}

fn verifying(draft: &mut Draft<'_>, node: &NodeFacts) {
    match draft.status.transaction.clone() {
        Some(last) if last.goal != draft.seen.goal.hash => return begin_instead(draft, node),
        Some(last) if last.canary != draft.seen.goal.canary_hash => {
            draft.delete_canaries(|_| true);
            return prove(draft, last);
        }
        _ => {}
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
    draft.lose_proof();
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
    draft.status.lost_proof = None;
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
    let up_to_date = draft
        .status
        .proof
        .as_ref()
        .is_some_and(|proof| draft.seen.goal.is_shown_by(proof));
    if up_to_date {
        draft.delete_canaries(|_| true);
        draft.say("Verified", "a Wasm pod has run on the node");
    } else {
        begin(draft, node);
    }
}

fn failed(draft: &mut Draft<'_>, node: &NodeFacts) {
    let (last, goal) = (&draft.status.transaction, &draft.seen.goal);
    // Where it comes from matters to a try that failed, and not to what has stood here and was lost.
    let tried = draft.status.failures > 0;
    let asked_anew = last
        .as_ref()
        .is_none_or(|last| !goal.is_asked_by(last) || (tried && last.address != goal.address));
    let due = draft.status.next_retry_time.as_ref().map(|time| time.0);
    match due {
        Some(due) if due > draft.seen.now && !asked_anew => draft.poll_at(due),
        _ => begin(draft, node),
    }
}

fn told(what: &str, hint: Option<String>) -> String {
    match hint {
        Some(hint) => format!("{what}; {hint}"),
        None => what.to_owned(),
    }
}
