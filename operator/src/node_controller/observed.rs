//! What one reconcile goes by: the object, its node, its Job and canaries, as plain data.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use slipway_crds::node_shim::{Operation, Transaction};
use slipway_crds::{NodeShim, Shim};

use crate::goal::Goal;
use crate::node_controller::drift::Drift;
use crate::node_facts::NodeFacts;
use crate::report::{self, Outcome, Report, clean};

/// How much of a container's own words goes into a message.
const MAX_DETAIL: usize = 512;

/// Everything a plan depends on.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Now, in whole seconds as the API keeps them.
    pub now: Timestamp,
    /// The object itself.
    pub object: NodeShim,
    /// Its `Shim`, unless it is gone.
    pub shim: Option<Arc<Shim>>,
    /// Its node, unless it is gone.
    pub node: Option<NodeFacts>,
    /// Whether the shim is to stand on the node.
    pub wanted: bool,
    /// Why the shim cannot run there, or nothing.
    pub unsupported: Option<String>,
    /// The Job of the transaction in the object's status.
    pub job: JobState,
    /// Every canary pod of this object.
    pub canaries: Vec<Canary>,
    /// What watchers on the node have found gone.
    pub drifts: Vec<Drift>,
    /// Pods on the node that use one of our handlers; looked up only for a removal.
    pub users: Vec<String>,
    /// Whether this node may begin a transaction now.
    pub turn: bool,
    /// Why the roll-out is stopped for this node, or nothing.
    pub stopped: Option<String>,
    /// Why a handler is not to be had on this node, or nothing.
    pub taken: Option<String>,
    /// Whether another shim of the node is proven, so that the labels they share stay.
    pub shared: bool,
    /// What is to be installed.
    pub goal: Goal,
    /// What is wrong with a `RuntimeClass` of ours.
    pub conflicts: Vec<String>,
}

/// What became of a transaction's Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// There is no Job of this name: not made yet, or vanished.
    Missing,
    /// It has not finished; perhaps something holds it up.
    Running {
        /// What its pod waits for.
        hint: Option<String>,
    },
    /// It has finished and reported.
    Reported(Box<Report>),
    /// It has finished without a report that can be used.
    Silent {
        /// What is known instead.
        message: String,
    },
    /// The shim's files were not to be had; nothing has touched the node.
    Unfetched {
        /// Why not.
        message: String,
    },
}

/// A canary pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Name of the pod.
    pub name: String,
    /// How it fares.
    pub state: CanaryState,
}

/// How a canary pod fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanaryState {
    /// Not at its end.
    Running {
        /// What it waits for.
        hint: Option<String>,
    },
    /// Its container runs and is ready.
    Up,
    /// It exited with 0.
    Succeeded,
    /// It did not.
    Failed {
        /// What is known of it.
        message: String,
    },
}

impl JobState {
    /// Whether it has come to an end that is not the one that was hoped for.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        match self {
            Self::Missing | Self::Running { .. } => false,
            Self::Reported(report) => !matches!(report.outcome, Outcome::Done | Outcome::Unchanged),
            Self::Silent { .. } | Self::Unfetched { .. } => true,
        }
    }

    /// Reads a Job and its pods.
    #[must_use]
    pub fn of(job: &Job, pods: &[Pod], transaction: &Transaction, now: Timestamp) -> Self {
        let Some(end) = ending(job) else {
            return match overdue(job, now) {
                Some(message) => Self::Silent { message },
                None => Self::Running {
                    hint: hint(job, pods, now),
                },
            };
        };
        let mut exits: Vec<_> = pods.iter().filter_map(exit).collect();
        exits.sort_by_key(|exit| exit.finished);
        match exits.last() {
            Some(exit) if !exit.message.is_empty() => read(exit, transaction.operation),
            Some(exit) => Self::Silent {
                message: format!("the installer ended without a report: {}", exit.describe()),
            },
            None => match pods.iter().find_map(unfetched) {
                Some(message) => Self::Unfetched { message },
                None => Self::Silent {
                    message: format!(
                        "the installer never ran: {end}; does its namespace admit privileged pods?"
                    ),
                },
            },
        }
    }
}

impl Canary {
    /// Reads a canary pod.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let state = match phase {
            Some("Succeeded") => CanaryState::Succeeded,
            Some("Failed") => CanaryState::Failed { message: why(pod) },
            Some("Running") if statuses(pod).all(|status| status.ready) => CanaryState::Up,
            _ => CanaryState::Running { hint: waits(pod) },
        };
        Self {
            name: pod.name_any(),
            state,
        }
    }
}

/// A container's end.
struct Exit {
    code: i32,
    reason: String,
    message: String,
    finished: Option<Timestamp>,
}

impl Exit {
    fn describe(&self) -> String {
        format!("exit code {} ({})", self.code, self.reason)
    }
}

fn read(exit: &Exit, operation: Operation) -> JobState {
    match Report::parse(&exit.message, operation, exit.code) {
        Ok(report) => JobState::Reported(Box::new(report)),
        Err(error @ report::Error::Malformed(_)) => JobState::Silent {
            message: format!(
                "{error}; {}: {}",
                exit.describe(),
                clean(&exit.message, MAX_DETAIL)
            ),
        },
        Err(error) => JobState::Silent {
            message: error.to_string(),
        },
    }
}

/// Why a Job is finished, if it is.
fn ending(job: &Job) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let end = conditions.iter().find(|condition| {
        condition.status == "True" && matches!(condition.type_.as_str(), "Complete" | "Failed")
    })?;
    Some(clean(
        &format!(
            "{}: {}",
            end.reason.as_deref().unwrap_or(&end.type_),
            end.message.as_deref().unwrap_or_default()
        ),
        MAX_DETAIL,
    ))
}

/// Why nobody waits for a Job any longer that has not finished long after its deadline. Since Kubernetes 1.31 it is not
/// finished before its pods are (KEP-3939), and those of a node whose kubelet has died never are.
fn overdue(job: &Job, now: Timestamp) -> Option<String> {
    const GRACE_SECONDS: i64 = 120;
    let deadline = job.spec.as_ref()?.active_deadline_seconds?;
    let started = job
        .status
        .as_ref()
        .and_then(|status| status.start_time.as_ref());
    let started = started.or(job.metadata.creation_timestamp.as_ref())?.0;
    let late = now.as_second() - started.as_second() - deadline;
    (late > GRACE_SECONDS).then(|| {
        format!("the installer has not ended {late} s after its deadline: does the node's kubelet still answer?")
    })
}

fn hint(job: &Job, pods: &[Pod], now: Timestamp) -> Option<String> {
    // The Job controller makes the pod within a second or two; after this long something refuses it.
    const PATIENCE_SECONDS: i64 = 20;
    if pods.is_empty() {
        let made = job.metadata.creation_timestamp.as_ref()?.0;
        let late = now.as_second() - made.as_second() > PATIENCE_SECONDS;
        return late
            .then(|| "it has no pod yet: does its namespace admit privileged pods?".to_owned());
    }
    pods.iter().find_map(waits)
}

/// Why the containers before the installer did not bring the shim's files.
fn unfetched(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let mut containers = status.init_container_statuses.iter().flatten();
    let (name, ended) = containers.find_map(|container| {
        let ended = container.state.as_ref()?.terminated.as_ref()?;
        (ended.exit_code != 0).then_some((&container.name, ended))
    })?;
    let said = match ended.message.as_deref().unwrap_or_default() {
        "" => format!("exit code {}", ended.exit_code),
        text => report::message(text).unwrap_or_else(|| text.to_owned()),
    };
    Some(clean(&format!("{name}: {said}"), MAX_DETAIL))
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status
        .iter()
        .filter_map(|status| status.container_statuses.as_ref())
        .flatten()
}

/// Those of containers that run before the installer too: what they wait for holds it up.
fn all_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let before = pod
        .status
        .iter()
        .filter_map(|status| status.init_container_statuses.as_ref())
        .flatten();
    before.chain(statuses(pod))
}

fn exit(pod: &Pod) -> Option<Exit> {
    let ended = statuses(pod).find_map(|status| status.state.as_ref()?.terminated.as_ref())?;
    Some(Exit {
        code: ended.exit_code,
        reason: ended.reason.clone().unwrap_or_default(),
        message: ended.message.clone().unwrap_or_default(),
        finished: ended.finished_at.as_ref().map(|time| time.0),
    })
}

/// What a pod's container waits for, where that says something.
fn waits(pod: &Pod) -> Option<String> {
    let mut waiting =
        all_statuses(pod).filter_map(|status| status.state.as_ref()?.waiting.as_ref());
    let is_telling = |reason: &str| !matches!(reason, "ContainerCreating" | "PodInitializing");
    let waiting = waiting.find(|waiting| waiting.reason.as_deref().is_some_and(is_telling))?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    Some(clean(&format!("{reason}: {message}"), MAX_DETAIL))
}

/// Why a pod failed.
fn why(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let of_pod = status
        .and_then(|status| status.reason.as_deref())
        .map(|reason| {
            let message = status
                .and_then(|status| status.message.as_deref())
                .unwrap_or_default();
            format!("{reason}: {message}")
        });
    let of_container = exit(pod).map(|exit| match exit.message.as_str() {
        "" => exit.describe(),
        message => format!("{}: {message}", exit.describe()),
    });
    let text = of_pod
        .or(of_container)
        .unwrap_or_else(|| "no reason given".to_owned());
    clean(&text, MAX_DETAIL)
}

#[cfg(test)]
mod tests;
