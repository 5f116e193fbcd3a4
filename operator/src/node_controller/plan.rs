//! What to do next: a pure function of what was observed.
//!
//! ```text
//!  Pending ─► Installing ─► Verifying ─► Ready            deleted: Draining ─► Removing ─► (gone)
//!     ▲            │             │         │                            │
//!     └── Failed ◄─┴─────────────┘         └─ proof lost, new goal: Pending; new canary: Verifying
//! ```
//!
//! A transaction is written into the status before its Job is made. "Its Job is missing" then covers
//! both "not made yet" and "vanished", and a killed operator goes on where it was.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use slipway_crds::node_shim::{Operation, Transaction};
use slipway_crds::shim::StartupTaint;
use slipway_crds::{NodeShimStatus, Phase, labels, names};

use crate::events::{Event, Reason};
use crate::node_controller::observed::{Canary, Observed};
use crate::node_facts::NodeFacts;

mod backoff;
mod conditions;
mod install;
mod outcome;
mod proof;
mod remove;

pub use outcome::{FETCH_FAILED, NO_REPORT};
pub use proof::was_proven;

/// How often a node that waits for something no watch reports is looked at.
const POLL: Duration = Duration::from_secs(15);

/// What to do: first the actions in order, then the status, then the events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Changes to the cluster.
    pub actions: Vec<Action>,
    /// The status as it is to be.
    pub status: NodeShimStatus,
    /// What people are told.
    pub events: Vec<Event>,
    /// When to look again though nothing has changed.
    pub requeue: Option<Duration>,
}

/// One change to the cluster; doing it twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put the finalizer on the object.
    Hold,
    /// Take the finalizer off the object.
    Release,
    /// Delete the object; its finalizer then drives the removal.
    Delete,
    /// Put the proven labels on the node, or take them off.
    Label(Labels),
    /// Take the startup taints off the node.
    Untaint(Vec<StartupTaint>),
    /// Note on the node that an installer is let loose on it, or take the note off.
    Mark(bool),
    /// Make the transaction's Job.
    CreateJob(Transaction),
    /// Delete a Job and its pods.
    DeleteJob(String),
    /// Make a canary pod of this name for a handler.
    CreateCanary {
        /// Name of the pod.
        name: String,
        /// The handler it runs through.
        handler: String,
    },
    /// Delete a canary pod.
    DeleteCanary(String),
    /// Delete a watcher's pod whose report is taken in.
    DeleteWatcher(String),
}

/// Which of the proven labels a node carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// All of them.
    All,
    /// Those that another shim of the node keeps up.
    Shared,
    /// None.
    None,
}

impl Plan {
    /// Whether the object is gone or going after these actions, so that its status cannot be written.
    #[must_use]
    pub fn ends_object(&self) -> bool {
        self.actions
            .iter()
            .any(|action| matches!(action, Action::Release | Action::Delete))
    }
}

/// What to do next.
#[must_use]
pub fn plan(seen: &Observed) -> Plan {
    let mut draft = Draft::new(seen);
    match &seen.node {
        None => remove::node_is_gone(&mut draft),
        Some(node) if draft.is_replaced(node) => draft.start_afresh(node),
        Some(node) => {
            draft.status.node_uid = Some(node.uid.clone());
            if draft.is_deleted() {
                remove::step(&mut draft, node);
            } else if seen.wanted {
                install::step(&mut draft, node);
            } else {
                remove::give_up(&mut draft, node);
            }
        }
    }
    draft.finish()
}

/// The API server refused to make the transaction's Job or its canary: that has failed before it began.
#[must_use]
pub fn rejected(seen: &Observed, message: &str) -> Plan {
    let mut draft = Draft::new(seen);
    let reason = match draft.status.phase {
        Phase::Verifying => {
            draft.lose_untried_proof();
            "CanaryRejected"
        }
        _ => "JobRejected",
    };
    outcome::failed(&mut draft, reason, message, backoff::Kind::Failed);
    draft.finish()
}

/// A plan in the making.
struct Draft<'a> {
    seen: &'a Observed,
    status: NodeShimStatus,
    actions: Vec<Action>,
    events: Vec<Event>,
    requeue: Option<Duration>,
    /// Why the object stands where it stands, for its conditions.
    verdict: Option<(String, String)>,
}

impl<'a> Draft<'a> {
    fn new(seen: &'a Observed) -> Self {
        let mut actions = Vec::new();
        let held = seen
            .object
            .finalizers()
            .iter()
            .any(|name| name == labels::FINALIZER);
        if !held && seen.object.metadata.deletion_timestamp.is_none() {
            actions.push(Action::Hold);
        }
        Self {
            seen,
            status: seen.object.status.clone().unwrap_or_default(),
            actions,
            events: Vec::new(),
            requeue: None,
            verdict: None,
        }
    }

    fn is_deleted(&self) -> bool {
        self.seen.object.metadata.deletion_timestamp.is_some()
    }

    fn is_replaced(&self, node: &NodeFacts) -> bool {
        self.status
            .node_uid
            .as_ref()
            .is_some_and(|uid| *uid != node.uid)
    }

    /// Another node under the same name: nothing that is known holds for it.
    fn start_afresh(&mut self, node: &NodeFacts) {
        self.unlabel(node);
        self.delete_canaries(|_| true);
        let job = self
            .status
            .transaction
            .as_ref()
            .map(|transaction| transaction.job.clone());
        self.actions.extend(job.map(Action::DeleteJob));
        if self.is_deleted() {
            self.actions.push(Action::Release);
            return;
        }
        // The number goes on counting, so that no old Job is taken for a new one.
        self.status = NodeShimStatus {
            node_uid: Some(node.uid.clone()),
            transaction: self.status.transaction.take(),
            ..NodeShimStatus::default()
        };
        self.say("NodeReplaced", "another node has taken this name");
    }

    /// Whether there may be something to undo on the node. The note on the node alone would do if its
    /// cache were never behind.
    fn is_touched(&self, node: &NodeFacts) -> bool {
        node.touched_by.contains(&self.seen.object.spec.shim) || self.status.transaction.is_some()
    }

    /// Sets why the object stands where it stands.
    fn say(&mut self, reason: &str, message: impl Into<String>) {
        self.verdict = Some((reason.to_owned(), message.into()));
    }

    /// Whether that is the reason in the status already.
    fn has_said(&self, reason: &str) -> bool {
        conditions::verdict_of(&self.status).is_some_and(|(said, _)| said == reason)
    }

    fn event(&mut self, reason: Reason, note: impl Into<String>) {
        self.events.push(Event::new(reason, note));
    }

    fn poll(&mut self, after: Duration) {
        self.requeue = Some(self.requeue.map_or(after, |earlier| earlier.min(after)));
    }

    fn poll_at(&mut self, due: Timestamp) {
        let seconds = due.as_second().saturating_sub(self.seen.now.as_second());
        self.poll(Duration::from_secs(u64::try_from(seconds).unwrap_or(0) + 1));
    }

    fn now(&self) -> Time {
        Time(self.seen.now)
    }

    fn in_future(&self, after: Duration) -> Time {
        let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::from_hours(1));
        Time(self.seen.now.saturating_add(after).unwrap_or(self.seen.now))
    }

    /// Takes the proven labels off, where they are; those that another shim keeps up stay.
    fn unlabel(&mut self, node: &NodeFacts) {
        let [own, provisioned, wasm] = node.proven_labels(&self.seen.object.spec.shim);
        let is_there = |(key, _): &(String, String)| node.labels.contains_key(key);
        if self.seen.shared {
            if is_there(&own) {
                self.actions.push(Action::Label(Labels::Shared));
            }
        } else if [own, provisioned, wasm].iter().any(is_there) {
            self.actions.push(Action::Label(Labels::None));
        }
    }

    /// Puts the proven labels on, where they are not, and takes off the taints that kept pods away until then.
    fn label(&mut self, node: &NodeFacts) {
        let proven = node.proven_labels(&self.seen.object.spec.shim);
        if proven
            .iter()
            .any(|(key, value)| node.labels.get(key) != Some(value))
        {
            self.actions.push(Action::Label(Labels::All));
        }
        let startup = &self.seen.goal.startup_taints;
        let stands = |(key, effect): &(String, String)| covers(startup, key, effect);
        if node.taints.iter().any(stands) {
            self.actions.push(Action::Untaint(startup.clone()));
        }
    }

    fn delete_canaries(&mut self, which: impl Fn(&Canary) -> bool) {
        let names = self.seen.canaries.iter().filter(|canary| which(canary));
        self.actions
            .extend(names.map(|canary| Action::DeleteCanary(canary.name.clone())));
    }

    /// Writes down a new transaction. Its Job is made by the next reconcile, which finds it missing.
    fn begin(&mut self, operation: Operation, phase: Phase) {
        let number = self
            .status
            .transaction
            .as_ref()
            .map_or(1, |last| last.number.saturating_add(1));
        let goal = &self.seen.goal;
        let same = self.status.transaction.as_ref();
        let same = same.is_some_and(|last| {
            let comes_from_there = last.address == goal.address;
            last.operation == operation && goal.is_asked_by(last) && comes_from_there
        });
        if !same {
            self.forgive();
        }
        let uid = self.seen.object.uid().unwrap_or_default();
        let node = self.status.node_uid.clone().unwrap_or_default();
        let hash = names::hash(
            &[
                &uid,
                &node,
                operation.as_str(),
                &self.seen.goal.hash,
                &number.to_string(),
            ],
            12,
        );
        self.status.transaction = Some(Transaction {
            number,
            operation,
            job: format!("slipway-{operation}-{hash}"),
            goal: self.seen.goal.hash.clone(),
            canary: self.seen.goal.canary_hash.clone(),
            address: self.seen.goal.address.clone(),
            start_time: self.now(),
            verify_time: None,
        });
        self.status.phase = phase;
        self.status.next_retry_time = None;
    }

    /// What was proven no longer holds. It is remembered: a node that could do it once is another case than one that
    /// never could.
    fn lose_proof(&mut self) {
        if let Some(proof) = self.status.proof.take() {
            self.status.lost_proof = Some(proof);
        }
    }

    /// What the last transaction has put on the node was never tried, so a proof of what was there before says nothing.
    fn lose_untried_proof(&mut self) {
        let proven = self.status.proof.as_ref().map(|proof| &proof.goal);
        if proven != self.status.transaction.as_ref().map(|last| &last.goal) {
            self.lose_proof();
        }
    }

    /// Something else is begun than what failed before, so it has not failed yet.
    fn forgive(&mut self) {
        self.status.failures = 0;
        self.status.refused = false;
    }

    /// The canary pods the current transaction wants: name and handler. Each look at the node, each canary and each boot
    /// has names of its own, so that no old pod is taken for a new one.
    fn wanted_canaries(&self) -> Vec<(String, String)> {
        let Some(transaction) = &self.status.transaction else {
            return Vec::new();
        };
        let canary = transaction.canary.as_deref().unwrap_or_default();
        let began = transaction.verify_time.as_ref();
        let began = began.map_or(0, |time| time.0.as_second()).to_string();
        let boot = self.seen.node.as_ref().map_or("", |node| &node.boot_id);
        let handlers = self.seen.goal.handlers.iter();
        handlers
            .map(|handler| {
                let hash = names::hash(&[&transaction.job, handler, canary, &began, boot], 12);
                (format!("slipway-canary-{hash}"), handler.clone())
            })
            .collect()
    }

    fn finish(mut self) -> Plan {
        let (reason, message) = self.verdict.take().unwrap_or_else(|| {
            let kept = conditions::verdict_of(&self.status);
            kept.unwrap_or_else(|| ("Pending".to_owned(), String::new()))
        });
        let conflicts = &self.seen.conflicts;
        self.status.conditions = conditions::of(
            &self.status,
            &self.seen.object,
            (&*reason, &*message),
            conflicts,
            &self.now(),
        );
        self.status.observed_generation = self.seen.object.metadata.generation;
        Plan {
            actions: self.actions,
            status: self.status,
            events: self.events,
            requeue: self.requeue,
        }
    }
}

/// Whether one of these startup taints is this taint.
#[must_use]
pub fn covers(startup: &[StartupTaint], key: &str, effect: &str) -> bool {
    startup.iter().any(|taint| {
        taint.key == key && taint.effect.is_none_or(|wanted| wanted.as_str() == effect)
    })
}

#[cfg(test)]
mod tests;
