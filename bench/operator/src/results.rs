//! What a run has found, as it is written down.

use serde::{Deserialize, Serialize};

use crate::audit::Requests;

/// A run.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    /// What was measured, in words.
    pub(crate) about: String,
    /// How many nodes there were.
    pub(crate) nodes: u32,
    /// How many were changed at a time.
    pub(crate) at_once: u32,
    /// Processors of the machine, for the operator, the API server, etcd and what plays the nodes.
    pub(crate) processors: usize,
    /// Version of the API server.
    pub(crate) kubernetes: String,
    /// The parts of the run, in order.
    pub(crate) parts: Vec<Part>,
}

/// A part of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    /// What happened.
    pub(crate) what: What,
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    /// What the operator asked for meanwhile.
    pub(crate) requests: Vec<Requests>,
    /// Processor time of the operator meanwhile, in seconds.
    pub(crate) cpu_seconds: f64,
    /// The most memory the operator had until the end of it, in KiB.
    pub(crate) peak_kib: u64,
    /// The memory it had at its end, in KiB.
    pub(crate) resident_kib: u64,
}

/// What a part of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum What {
    /// From the start of the operator until every node is ready.
    Install,
    /// Nothing is asked for; kubelets give signs of life.
    Rest,
    /// The operator is stopped and started again, until it rests.
    Restart,
    /// Another canary is asked for, until every node is ready again.
    Prove,
    /// The `Shim` is deleted, until every node is clean.
    Remove,
}

impl What {
    /// In the order of a run.
    pub(crate) const ALL: [Self; 5] = [
        Self::Install,
        Self::Rest,
        Self::Restart,
        Self::Prove,
        Self::Remove,
    ];
}

impl Part {
    /// Requests, those about the Lease left out: their number goes with time alone.
    pub(crate) fn own(&self) -> impl Iterator<Item = &Requests> {
        self.requests
            .iter()
            .filter(|kind| kind.resource != "leases")
    }

    /// How many of those.
    pub(crate) fn count(&self) -> u64 {
        self.own().map(|kind| kind.count).sum()
    }

    /// How many of those change something.
    pub(crate) fn writes(&self) -> u64 {
        let reads = ["get", "list", "watch"];
        let writes = self.own().filter(|kind| !reads.contains(&&*kind.verb));
        writes.map(|kind| kind.count).sum()
    }

    /// How many of those failed.
    pub(crate) fn failed(&self) -> u64 {
        self.own().map(|kind| kind.failed).sum()
    }
}
