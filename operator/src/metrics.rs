//! What the operator counts, as `OpenMetrics`. Every label has a bounded set of values, or as many as there
//! are `Shim`s.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use kube::ResourceExt as _;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use slipway_crds::conditions::{DEGRADED, find};
use slipway_crds::{Phase, Shim};

use crate::rollout::STOPPED;

/// How many reasons of installers' reports are told apart: more than there are, and a report comes from outside.
const MAX_REASONS: usize = 64;
/// The label of those that come after.
const OTHER: &str = "Other";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Controller {
    controller: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failure {
    controller: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InPhase {
    phase: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfShim {
    shim: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ShimNodes {
    shim: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    operation: &'static str,
    outcome: &'static str,
    reason: String,
}

/// Everything that is counted. Clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    durations: Family<Controller, Histogram, fn() -> Histogram>,
    errors: Family<Failure, Counter>,
    nodes: Family<InPhase, Gauge>,
    shim_nodes: Family<ShimNodes, Gauge>,
    stopped: Family<OfShim, Gauge>,
    transactions: Family<Ended, Counter>,
    reasons: Arc<Mutex<BTreeSet<String>>>,
    leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("slipway");
        let durations = Family::new_with_constructor(reconcile_histogram as fn() -> Histogram);
        registry.register(
            "reconcile_duration_seconds",
            "Time one reconcile took",
            durations.clone(),
        );
        let errors = Family::<Failure, Counter>::default();
        registry.register(
            "reconcile_errors",
            "Reconciles that failed, by reason",
            errors.clone(),
        );
        let nodes = Family::<InPhase, Gauge>::default();
        registry.register("nodes", "Nodes with a shim, by phase", nodes.clone());
        let shim_nodes = Family::<ShimNodes, Gauge>::default();
        registry.register(
            "shim_nodes",
            "Nodes of a Shim, by how far they are",
            shim_nodes.clone(),
        );
        let stopped = Family::<OfShim, Gauge>::default();
        registry.register(
            "rollout_stopped",
            "1 while a node that failed stops the roll-out of a Shim",
            stopped.clone(),
        );
        let transactions = Family::<Ended, Counter>::default();
        registry.register(
            "node_transactions",
            "Installer runs that ended, by operation, outcome and reason",
            transactions.clone(),
        );
        let leader = Gauge::default();
        registry.register(
            "leader",
            "1 while this replica does the work",
            leader.clone(),
        );
        registry.register(
            "build",
            "What this is built from",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self {
            registry: Arc::new(Mutex::new(registry)),
            durations,
            errors,
            nodes,
            shim_nodes,
            stopped,
            transactions,
            reasons: Arc::default(),
            leader,
        }
    }

    /// Measures until the guard is dropped.
    #[must_use]
    pub fn measure(&self, controller: &'static str) -> Measure {
        Measure {
            began: Instant::now(),
            histogram: self
                .durations
                .get_or_create(&Controller { controller })
                .clone(),
        }
    }

    /// Counts a reconcile that failed.
    pub fn failed(&self, controller: &'static str, reason: &'static str) {
        self.errors
            .get_or_create(&Failure { controller, reason })
            .inc();
    }

    /// Counts an installer run that ended; of reasons nobody has heard of, only so many are told apart.
    pub fn ended(&self, operation: &'static str, outcome: &'static str, reason: &str) {
        let labels = Ended {
            operation,
            outcome,
            reason: self.known(reason),
        };
        self.transactions.get_or_create(&labels).inc();
    }

    fn known(&self, reason: &str) -> String {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if !reasons.contains(reason) {
            if reasons.len() >= MAX_REASONS {
                return OTHER.to_owned();
            }
            reasons.insert(reason.to_owned());
        }
        reason.to_owned()
    }

    /// Says whether this replica does the work.
    pub fn lead(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Counts anew what there is now; one that is gone is counted no more.
    fn count_shims(&self, shims: &[Arc<Shim>]) {
        self.shim_nodes.clear();
        self.stopped.clear();
        for shim in shims {
            let (name, status) = (shim.name_any(), shim.status.clone().unwrap_or_default());
            let nodes = status.nodes;
            for (state, count) in [
                ("desired", nodes.desired),
                ("ready", nodes.ready),
                ("updated", nodes.updated),
                ("progressing", nodes.progressing),
                ("failed", nodes.failed),
            ] {
                let shim = name.clone();
                let labels = ShimNodes { shim, state };
                self.shim_nodes.get_or_create(&labels).set(i64::from(count));
            }
            let degraded = find(&status.conditions, DEGRADED);
            let stopped = degraded.is_some_and(|condition| condition.reason == STOPPED);
            let labels = OfShim { shim: name };
            self.stopped.get_or_create(&labels).set(i64::from(stopped));
        }
    }

    /// The metrics as text; `phases` are those of all nodes with a shim, now.
    ///
    /// # Errors
    /// When the text cannot be written, which memory does not do.
    pub fn render(
        &self,
        phases: impl Iterator<Item = Phase>,
        shims: &[Arc<Shim>],
    ) -> Result<String, std::fmt::Error> {
        self.count_shims(shims);
        let mut counts = [0; Phase::ALL.len()];
        for phase in phases {
            for (known, count) in Phase::ALL.iter().zip(&mut counts) {
                *count += i64::from(*known == phase);
            }
        }
        for (phase, count) in Phase::ALL.iter().zip(counts) {
            let labels = InPhase {
                phase: phase.to_string(),
            };
            self.nodes.get_or_create(&labels).set(count);
        }
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// Measures a reconcile by its own life.
pub struct Measure {
    began: Instant,
    histogram: Histogram,
}

impl Drop for Measure {
    fn drop(&mut self) {
        self.histogram.observe(self.began.elapsed().as_secs_f64());
    }
}

fn reconcile_histogram() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_exposed_under_our_prefix() {
        let metrics = Metrics::new();
        drop(metrics.measure("node"));
        metrics.failed("node", "Api");
        metrics.ended("install", "done", "Installed");
        metrics.lead(true);
        let shim = serde_json::from_str(
            r#"{"metadata":{"name":"slipway"},"spec":{"source":{"bundled":{}},"handlers":[{"name":"w"}]},
            "status":{"nodes":{"desired":3,"ready":2},"conditions":[{"type":"Degraded","status":"True",
            "reason":"RolloutStopped","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}"#,
        )
        .unwrap();
        let phases = || [Phase::Ready, Phase::Ready].into_iter();
        let text = metrics.render(phases(), &[Arc::new(shim)]).unwrap();
        for line in [
            "slipway_reconcile_duration_seconds_count{controller=\"node\"} 1",
            "slipway_reconcile_errors_total{controller=\"node\",reason=\"Api\"} 1",
            "slipway_nodes{phase=\"Ready\"} 2",
            "slipway_nodes{phase=\"Failed\"} 0",
            "slipway_node_transactions_total{operation=\"install\",outcome=\"done\",reason=\"Installed\"} 1",
            "slipway_shim_nodes{shim=\"slipway\",state=\"desired\"} 3",
            "slipway_shim_nodes{shim=\"slipway\",state=\"failed\"} 0",
            "slipway_rollout_stopped{shim=\"slipway\"} 1",
            "slipway_leader 1",
            "slipway_build_info{version=",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
        let text = metrics.render(phases(), &[]).unwrap();
        assert!(!text.contains("shim=\"slipway\""), "it is gone: {text}");
    }

    #[test]
    fn reasons_from_outside_are_bounded() {
        let metrics = Metrics::new();
        for index in 0..2 * MAX_REASONS {
            metrics.ended("install", "refused", &format!("Reason{index}"));
        }
        metrics.ended("install", "refused", "Reason0");
        let text = metrics.render([].into_iter(), &[]).unwrap();
        let counted = |reason: &str, count: usize| {
            text.contains(&format!("refused\",reason=\"{reason}\"}} {count}\n"))
        };
        assert!(counted("Reason0", 2), "{text}");
        assert!(counted(OTHER, MAX_REASONS), "{text}");
        assert_eq!(text.matches("refused").count(), MAX_REASONS + 1);
    }
}
