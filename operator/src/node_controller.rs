//! One `NodeShim` at a time: observe, plan, apply, write the status, tell people.
//!
//! Only `observe` and `apply` talk to the API server; `plan` and `build` are pure and hold the tests.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use kube::ResourceExt as _;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use slipway_crds::NodeShim;

use crate::context::Context;
use crate::node_controller::observed::{JobState, Observed};
use crate::node_controller::plan::Plan;

pub mod apply;
pub mod build;
pub mod drift;
pub mod observe;
pub mod observed;
pub mod plan;

const NAME: &str = "node";
/// A look at everything now and then, in case a watch has missed something.
const RESYNC: Duration = Duration::from_secs(420);
const RETRY: Duration = Duration::from_secs(5);
/// How soon a conflict is retried: as soon as the cache may have caught up.
const CATCH_UP: Duration = Duration::from_millis(500);
/// Reconciles at a time; each waits mostly for the API server.
const CONCURRENCY: u16 = 8;

/// Why a reconcile did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster could not be read.
    #[error("node {node}: cannot be observed")]
    Observe {
        /// Name of the node.
        node: String,
        /// Why not.
        #[source]
        source: kube::Error,
    },
    /// A change could not be made.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// The status could not be written.
    #[error("status of {object}: cannot be written")]
    Status {
        /// Name of the object.
        object: String,
        /// Why not.
        #[source]
        source: kube::Error,
    },
}

impl Error {
    /// For the metric's label.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Observe { .. } => "Observe",
            Self::Apply(_) => "Apply",
            Self::Status { .. } => "Status",
        }
    }
}

/// Drives `NodeShim`s until the task is dropped.
pub async fn run(
    context: Arc<Context>,
    wakes: impl Stream<Item = ObjectRef<NodeShim>> + Send + 'static,
) {
    Controller::for_stream(stream::pending(), context.caches.node_shims.clone())
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(wakes)
        .run(reconcile, on_error, context)
        .for_each(|_| std::future::ready(()))
        .await;
}

/// One step towards what the node is to be.
///
/// # Errors
/// When the API server cannot be asked or will not have it.
pub async fn reconcile(object: Arc<NodeShim>, context: Arc<Context>) -> Result<Action, Error> {
    let _measure = context.metrics.measure(NAME);
    let name = object.name_any();
    let mut seen = observe::observe(&object, &context)
        .await
        .map_err(|source| Error::Observe {
            node: object.spec.node_name.clone(),
            source,
        })?;
    let mut next = plan::plan(&seen);
    if begins(&seen, &next) && !take_turn(&seen, &context) {
        seen.turn = false;
        next = plan::plan(&seen);
    }
    match apply::apply(&seen, &next, &context).await {
        Ok(()) => {}
        Err(apply::Error::Rejected { message, .. }) => next = plan::rejected(&seen, &message),
        Err(error) => return Err(error.into()),
    }
    if next.ends_object() {
        context.turns.end(&name);
    } else {
        match apply::write_status(&object, &next.status, &context).await {
            Ok(()) => {}
            // Written from a cache that was behind. What was applied holds; decide again from fresh sight.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                return Ok(Action::requeue(CATCH_UP));
            }
            Err(source) => {
                return Err(Error::Status {
                    object: name,
                    source,
                });
            }
        }
        if !next.status.phase.is_busy() {
            context.turns.end(&name);
        }
    }
    tell(&seen, &next, &context).await;
    Ok(Action::requeue(next.requeue.unwrap_or(RESYNC)))
}

#[expect(clippy::needless_pass_by_value, reason = "kube's signature")]
fn on_error(object: Arc<NodeShim>, error: &Error, context: Arc<Context>) -> Action {
    context.metrics.failed(NAME, error.reason());
    let cause = std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default();
    tracing::warn!(object = object.name_any(), %error, cause, "reconcile failed");
    Action::requeue(RETRY)
}

fn begins(seen: &Observed, next: &Plan) -> bool {
    let was_busy = seen
        .object
        .status
        .as_ref()
        .is_some_and(|status| status.phase.is_busy());
    next.status.phase.is_busy() && !was_busy
}

fn take_turn(seen: &Observed, context: &Context) -> bool {
    let others = observe::others(context, seen.node.as_ref());
    observe::asks(
        &seen.object,
        seen.node.as_ref(),
        seen.shim.as_deref(),
        &seen.goal,
        |asker| context.turns.take(asker, &others),
    )
}

/// Logs and events. They follow the status: if it could not be written, the change has not happened.
async fn tell(seen: &Observed, next: &Plan, context: &Context) {
    let node = &seen.object.spec.node_name;
    if let Some((operation, outcome, reason)) = ended(seen) {
        context.metrics.ended(operation, outcome, reason);
    }
    let about = observe::subjects(seen);
    for event in &next.events {
        if event.reason.is_warning() {
            tracing::warn!(node, reason = ?event.reason, "{}", event.note);
        } else {
            tracing::info!(node, reason = ?event.reason, "{}", event.note);
        }
        if let Err(error) = context.events.emit(event, &about).await {
            tracing::warn!(node, %error, "event cannot be written");
        }
    }
}

/// The installer run whose end this reconcile has taken in.
fn ended(seen: &Observed) -> Option<(&'static str, &'static str, &str)> {
    let status = seen.object.status.as_ref()?;
    let operation = status.transaction.as_ref()?.operation.as_str();
    let (outcome, reason) = match &seen.job {
        JobState::Reported(report) => (report.outcome.as_str(), &*report.reason),
        JobState::Silent { .. } => ("silent", plan::NO_REPORT),
        JobState::Unfetched { .. } => ("unfetched", plan::FETCH_FAILED),
        JobState::Missing | JobState::Running { .. } => return None,
    };
    Some((operation, outcome, reason))
}
