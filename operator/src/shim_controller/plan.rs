//! What a `Shim`'s status says: a pure function of its nodes' objects.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use slipway_crds::conditions::{
    DEGRADED, PROGRESSING, READY, RECONCILING, STALLED, Setting, find, is_true, renew,
};
use slipway_crds::shim::NodeCounts;
use slipway_crds::{NodeShim, Phase, Shim, ShimStatus, labels};

use crate::events::{Event, Reason};
use crate::goal::Asked;
use crate::report::clean;
use crate::rollout;

/// Conditions take more (32 kB); nobody reads more.
const MAX_MESSAGE: usize = 1024;

/// What a plan goes by.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Now, in whole seconds as the API keeps them.
    pub now: Time,
    /// The object itself.
    pub shim: Arc<Shim>,
    /// Nodes that are to have it.
    pub wanted: BTreeSet<String>,
    /// Whether an installer of it has been let loose on a node that was not cleaned since.
    pub touched: bool,
    /// Its `NodeShim`s.
    pub objects: Vec<Arc<NodeShim>>,
    /// What it asks for now.
    pub asked: Asked,
    /// What is wrong with its `RuntimeClasses`.
    pub conflicts: Vec<String>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// About the finalizer.
    pub hold: Hold,
    /// The status as it is to be.
    pub status: ShimStatus,
    /// What people are told.
    pub events: Vec<Event>,
}

/// What to do about the finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    AsIs,
    /// Put it on the object.
    Take,
    /// Take it off the object: its nodes are clean.
    Release,
}

/// What to do, given what was seen.
#[must_use]
pub fn plan(seen: &Observed) -> Plan {
    let shim = &seen.shim;
    let old = shim.status.clone().unwrap_or_default();
    let tally = Tally::of(seen);
    let (ready, progressing, degraded) = tally.verdicts(seen);
    let stage = tally.stage(&progressing);
    let settings: Vec<_> = [ready, progressing, degraded]
        .into_iter()
        .chain(stage)
        .collect();
    let conditions = renew(
        &old.conditions,
        &settings,
        shim.metadata.generation,
        &seen.now,
    );
    let handlers: Vec<_> = shim.spec.handlers.iter().map(|h| h.name.as_str()).collect();
    let status = ShimStatus {
        observed_generation: shim.metadata.generation,
        nodes_ready: format!("{}/{}", tally.counts.ready, tally.counts.desired),
        nodes: tally.counts,
        handlers: handlers.join(","),
        source: shim.spec.source.kind().to_owned(),
        conditions,
    };
    Plan {
        hold: hold(seen),
        events: events(&old, &status),
        status,
    }
}

fn hold(seen: &Observed) -> Hold {
    let held = seen
        .shim
        .finalizers()
        .iter()
        .any(|name| name == labels::FINALIZER);
    let leaves = seen.shim.metadata.deletion_timestamp.is_some();
    match (leaves, held) {
        (false, false) => Hold::Take,
        (true, true) if seen.objects.is_empty() && !seen.touched => Hold::Release,
        _ => Hold::AsIs,
    }
}

/// The nodes, counted.
struct Tally {
    counts: NodeCounts,
    /// The first node, by name, that failed, and why.
    failed: Option<String>,
    /// Why no further node is changed.
    stopped: Option<String>,
    /// What the first node that is not ready waits for.
    waits: Option<String>,
    /// The first node, by name, that does not get there as things are, and why.
    stalled: Option<String>,
    /// Nodes that are on their way.
    moving: u32,
}

impl Tally {
    fn of(seen: &Observed) -> Self {
        let mut objects: Vec<&NodeShim> = seen.objects.iter().map(Arc::as_ref).collect();
        objects.sort_by(|a, b| a.spec.node_name.cmp(&b.spec.node_name));
        let mut counts = NodeCounts::default();
        let (mut failed, mut waits, mut stalled) = (None, None, None);
        let mut moving = 0;
        let mut claimed = BTreeSet::new();
        for object in objects {
            let node = &object.spec.node_name;
            let status = object.status.clone().unwrap_or_default();
            let leaves =
                object.metadata.deletion_timestamp.is_some() || !seen.wanted.contains(node);
            let proof = status.proof.as_ref().filter(|_| !leaves);
            let updated = proof.is_some_and(|proof| seen.asked.is_shown_by(proof));
            claimed.insert(node);
            counts.ready += u32::from(proof.is_some());
            counts.updated += u32::from(updated);
            let why = status.last_error.as_deref().unwrap_or("no reason given");
            let is_stalled = status.phase == Phase::Failed || is_true(&status.conditions, STALLED);
            if is_stalled {
                stalled.get_or_insert_with(|| format!("node {node}: {why}"));
            }
            if status.phase == Phase::Failed {
                counts.failed += 1;
                failed.get_or_insert_with(|| format!("node {node}: {why}"));
            } else if leaves || !updated || status.phase != Phase::Ready {
                counts.progressing += 1;
                moving += u32::from(!is_stalled);
                let found = find(&status.conditions, PROGRESSING);
                let found = found.filter(|condition| !condition.message.is_empty());
                waits = waits.or_else(|| Some(format!("node {node}: {}", found?.message)));
            }
        }
        let unclaimed = seen.wanted.iter().filter(|node| !claimed.contains(node));
        let unclaimed = count(unclaimed.count());
        counts.progressing += unclaimed;
        moving += unclaimed;
        counts.desired = count(seen.wanted.len());
        let stops = seen.shim.spec.rollout.stops_on_failure() && counts.updated < counts.desired;
        let culprit = rollout::first_failed(&seen.shim.name_any(), &seen.asked, &seen.objects);
        let stopped = culprit.filter(|_| stops).map(|object| {
            let why = object.status.as_ref().and_then(|s| s.last_error.as_deref());
            let node = &object.spec.node_name;
            format!("node {node}: {}", why.unwrap_or("no reason given"))
        });
        Self {
            counts,
            failed,
            stopped,
            waits,
            stalled,
            moving,
        }
    }

    /// Reconciling or Stalled, if either. As long as a node is on its way there is progress.
    fn stage(&self, progressing: &Setting) -> Option<Setting> {
        let stuck = self.stalled.as_ref().filter(|_| self.moving == 0);
        match (&self.stopped, stuck) {
            (Some(why), _) => Some(set(STALLED, true, "RolloutStopped", why)),
            (None, Some(why)) => Some(set(STALLED, true, "NodesFailed", why)),
            (None, None) => progressing.status.then(|| Setting {
                type_: RECONCILING,
                ..progressing.clone()
            }),
        }
    }

    /// Ready, Progressing, Degraded.
    fn verdicts(&self, seen: &Observed) -> (Setting, Setting, Setting) {
        let counts = &self.counts;
        let leaves = seen.shim.metadata.deletion_timestamp.is_some();
        let complete = counts.updated == counts.desired;
        let first = self.stopped.as_ref().or(self.failed.as_ref());
        let more = match counts.failed.saturating_sub(1) {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let failure = first.map(|why| format!("{why}{more}"));
        let progress = format!(
            "{} of {} nodes have what is asked for{}",
            counts.updated,
            counts.desired,
            self.waits
                .as_ref()
                .map(|why| format!("; {why}"))
                .unwrap_or_default()
        );
        let (reason, message) = if leaves {
            let left = seen.objects.len();
            let why = failure.clone().or_else(|| self.waits.clone());
            let why = why.map(|why| format!("; {why}")).unwrap_or_default();
            ("Removing", format!("{left} nodes are to be cleaned{why}"))
        } else if complete && counts.desired == 0 {
            ("NoNodes", "no node is to have it".to_owned())
        } else if complete {
            let all = counts.desired;
            (
                "AllNodesReady",
                format!("a Wasm pod has run on each of {all} nodes"),
            )
        } else if self.stopped.is_some() {
            ("RolloutStopped", failure.clone().unwrap_or_default())
        } else if let Some(failure) = &failure {
            ("NodesFailed", failure.clone())
        } else {
            ("RollingOut", progress)
        };
        let ready = set(READY, complete && !leaves, reason, &message);
        let at_work = leaves || counts.progressing > 0;
        let progressing = match (leaves, self.stopped.is_some(), at_work) {
            (true, _, _) => set(PROGRESSING, true, reason, &message),
            (false, true, _) => set(PROGRESSING, false, "RolloutStopped", &message),
            (false, false, true) => set(PROGRESSING, true, "RollingOut", &message),
            (false, false, false) => set(PROGRESSING, false, reason, &message),
        };
        let degraded = match (&failure, seen.conflicts.is_empty()) {
            (Some(failure), _) if self.stopped.is_some() => {
                set(DEGRADED, true, "RolloutStopped", failure)
            }
            (Some(failure), _) => set(DEGRADED, true, "NodesFailed", failure),
            (None, false) => set(
                DEGRADED,
                true,
                "RuntimeClassConflict",
                &seen.conflicts.join("; "),
            ),
            (None, true) => set(DEGRADED, false, "AsExpected", ""),
        };
        (ready, progressing, degraded)
    }
}

fn count(nodes: usize) -> u32 {
    u32::try_from(nodes).unwrap_or(u32::MAX)
}

fn set(type_: &'static str, status: bool, reason: &str, message: &str) -> Setting {
    Setting {
        type_,
        status,
        reason: reason.to_owned(),
        message: clean(message, MAX_MESSAGE),
    }
}

/// Told when it becomes so, not while it is.
fn events(old: &ShimStatus, new: &ShimStatus) -> Vec<Event> {
    let reason = |status: &ShimStatus, type_: &str| {
        find(&status.conditions, type_).map(|found| found.reason.clone())
    };
    let message = |type_: &str| {
        find(&new.conditions, type_)
            .map(|found| found.message.clone())
            .unwrap_or_default()
    };
    let turned = |type_: &str, to: &str| {
        reason(new, type_).as_deref() == Some(to) && reason(old, type_).as_deref() != Some(to)
    };
    let mut events = Vec::new();
    if turned(PROGRESSING, "RollingOut") {
        events.push(Event::new(Reason::RolloutStarted, message(PROGRESSING)));
    }
    if turned(DEGRADED, "RolloutStopped") {
        events.push(Event::new(Reason::RolloutStopped, message(DEGRADED)));
    }
    if turned(DEGRADED, "RuntimeClassConflict") {
        events.push(Event::new(Reason::RuntimeClassConflict, message(DEGRADED)));
    }
    if turned(READY, "AllNodesReady") {
        events.push(Event::new(Reason::RolloutFinished, message(READY)));
    }
    events
}

#[cfg(test)]
mod tests;
