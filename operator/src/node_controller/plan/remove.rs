//! The node is to be as it was before.

use std::time::Duration;

use slipway_crds::Phase;
use slipway_crds::node_shim::Operation;

use super::backoff::{self, Kind};
use super::{Action, Draft, POLL, outcome};
use crate::events::Reason;
use crate::node_controller::observed::JobState;
use crate::node_facts::NodeFacts;
use crate::turns::WAITING;

/// How often pods that hold up a removal are looked for at first. They are not watched: that would mean a copy
/// of every pod of the cluster for a question asked a few times a year. A turn, too, may end unseen, with the
/// object that had it.
const DRAIN_POLL: Duration = Duration::from_secs(3);
/// And when they have been there for minutes.
const SLOW_DRAIN_POLL: Duration = Duration::from_secs(30);
/// How many pods a message names.
const NAMED: usize = 5;

/// Nobody asks for Wasm here any more: unlabel at once, then delete the object. Its finalizer holds
/// it until the node is clean.
pub(super) fn give_up(draft: &mut Draft<'_>, node: &NodeFacts) {
    draft.unlabel(node);
    draft.actions.push(Action::Delete);
}

/// Without a node there is nothing to clean.
pub(super) fn node_is_gone(draft: &mut Draft<'_>) {
    if !draft.is_deleted() {
        draft.actions.push(Action::Delete);
    }
    draft.actions.push(Action::Release);
}

/// One step of the removal.
pub(super) fn step(draft: &mut Draft<'_>, node: &NodeFacts) {
    draft.unlabel(node);
    draft.lose_proof();
    match draft.status.phase {
        // Never stop an installer half-way: it ends by its deadline at the latest.
        Phase::Installing => installing(draft, node),
        Phase::Removing => removing(draft, node),
        Phase::Failed if is_waiting(draft) => waiting(draft),
        _ => drain(draft, node),
    }
}

fn last_operation(draft: &Draft<'_>) -> Option<Operation> {
    draft
        .status
        .transaction
        .as_ref()
        .map(|transaction| transaction.operation)
}

fn installing(draft: &mut Draft<'_>, node: &NodeFacts) {
    match &draft.seen.job {
        JobState::Running { .. } => {
            draft.poll(POLL);
            draft.say(
                "WaitingForInstaller",
                "waits for the installer to end before it is undone",
            );
        }
        // It may have run and been deleted; the uninstaller finds out.
        JobState::Missing => drain(draft, node),
        JobState::Reported(report) => {
            outcome::reported(draft, report);
            after_install(draft, node);
        }
        JobState::Silent { message } => {
            outcome::silent(draft, Operation::Install, message);
            after_install(draft, node);
        }
        JobState::Unfetched { message } => {
            outcome::unfetched(draft, message);
            after_install(draft, node);
        }
    }
}

/// How the install ended is known now and changes nothing: it is undone.
fn after_install(draft: &mut Draft<'_>, node: &NodeFacts) {
    draft.status.failures = 0;
    draft.status.refused = false;
    draft.status.next_retry_time = None;
    draft.requeue = None;
    drain(draft, node);
}

/// Waits for pods, then begins the uninstall; or ends at once where there is nothing to undo.
fn drain(draft: &mut Draft<'_>, node: &NodeFacts) {
    draft.delete_canaries(|_| true);
    if draft.seen.wanted && last_operation(draft) != Some(Operation::Uninstall) {
        draft.event(
            Reason::RemovalCancelled,
            "Wasm is wanted again before anything was removed",
        );
        draft.actions.push(Action::Release);
        return;
    }
    if !draft.is_touched(node) {
        draft.event(Reason::Removed, "nothing of the shim is on the node");
        draft.actions.push(Action::Release);
        return;
    }
    draft.status.phase = Phase::Draining;
    if !node.ready {
        draft.poll(POLL);
        return draft.say("NodeNotReady", "waits for the node to be Ready, or gone");
    }
    if !draft.seen.turn {
        draft.poll(DRAIN_POLL);
        return draft.say(
            WAITING,
            "waits until no more nodes than allowed are being changed",
        );
    }
    if !draft.seen.users.is_empty() {
        let message = blocked_by(&draft.seen.users);
        if !draft.has_said("PodsRunning") {
            draft.event(Reason::PodsRunning, message.clone());
        }
        draft.poll(look_again(draft));
        return draft.say("PodsRunning", message);
    }
    draft.begin(Operation::Uninstall, Phase::Removing);
    draft.event(Reason::UninstallStarted, "the shim is taken off the node");
    draft.say("Removing", "the uninstaller is started on the node");
}

fn removing(draft: &mut Draft<'_>, node: &NodeFacts) {
    let Some(transaction) = draft.status.transaction.clone() else {
        return drain(draft, node);
    };
    match &draft.seen.job {
        JobState::Missing => {
            draft.actions.push(Action::CreateJob(transaction));
            draft.poll(POLL);
            draft.say("Removing", "the uninstaller is started on the node");
        }
        JobState::Running { hint } => {
            let hint = hint
                .as_deref()
                .map(|hint| format!("; {hint}"))
                .unwrap_or_default();
            draft.poll(POLL);
            draft.say(
                "Removing",
                format!("the uninstaller runs on the node{hint}"),
            );
        }
        JobState::Reported(report) if report.reason == "PodsRunning" => {
            // A pod came after we had looked, or one that no RuntimeClass names: wait for it like for the others, but
            // not with a Job every few seconds.
            draft.status.failures = draft.status.failures.saturating_add(1);
            let node = &draft.seen.object.spec.node_name;
            let wait = backoff::delay(Kind::Failed, draft.status.failures, node);
            draft.status.phase = Phase::Failed;
            draft.status.next_retry_time = Some(draft.in_future(wait));
            draft.poll(wait);
            draft.event(Reason::PodsRunning, report.message.clone());
            draft.say("PodsRunning", report.message.clone());
        }
        JobState::Reported(report) => {
            if outcome::reported(draft, report) {
                draft.event(Reason::Removed, report.message.clone());
                draft.actions.push(Action::Mark(false));
                draft.actions.push(Action::Release);
            }
        }
        // An uninstaller has nothing before it that could fetch.
        JobState::Silent { message } | JobState::Unfetched { message } => {
            outcome::silent(draft, Operation::Uninstall, message);
        }
    }
}

/// Whether a failed uninstall still waits to be tried again. A failed install waits for nothing here.
fn is_waiting(draft: &Draft<'_>) -> bool {
    let due = draft.status.next_retry_time.as_ref();
    last_operation(draft) == Some(Operation::Uninstall)
        && due.is_some_and(|due| due.0 > draft.seen.now)
}

fn waiting(draft: &mut Draft<'_>) {
    let due = draft.status.next_retry_time.as_ref().map(|due| due.0);
    draft.poll_at(due.unwrap_or(draft.seen.now));
}

/// A tenth of the time that the object has been waiting to go.
fn look_again(draft: &Draft<'_>) -> Duration {
    let since = draft.seen.object.metadata.deletion_timestamp.as_ref();
    let since = since.map_or(draft.seen.now, |time| time.0).as_second();
    let waited = draft.seen.now.as_second().saturating_sub(since);
    let tenth = Duration::from_secs(u64::try_from(waited).unwrap_or(0) / 10);
    tenth.clamp(DRAIN_POLL, SLOW_DRAIN_POLL)
}

fn blocked_by(users: &[String]) -> String {
    let named = users
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let more = match users.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("waits for pods that use the shim: {named}{more}")
}
