//! What a run has found, as it is written down: every sample, so that it can be looked at in other ways than ours.

use serde::{Deserialize, Serialize};

use crate::alone::Alone;
use crate::churn::Churn;
use crate::goals::Goal;
use crate::http::Http;
use crate::life::Life;
use crate::machine::Machine;
use crate::memory::Kept;
use crate::rounds::Batch;
use crate::statistics::{Ratio, Summary};

/// A run.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    /// What was measured, in words.
    pub(crate) about: String,
    /// Where.
    pub(crate) machine: Machine,
    /// Pods one at a time.
    pub(crate) starts: Vec<Starts>,
    /// Pods several at a time.
    pub(crate) batches: Vec<Batches>,
    /// Pods that were kept.
    pub(crate) memory: Vec<Kept>,
    /// Workers without a pod.
    pub(crate) alone: Option<Alone>,
    /// Servers.
    pub(crate) http: Option<Http>,
    /// What stayed behind.
    pub(crate) churn: Option<Churn>,
    /// What was aimed at, and what was reached.
    pub(crate) goals: Vec<Goal>,
}

/// Pods of one kind, one at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Starts {
    /// The kind.
    pub(crate) subject: String,
    /// Pods that failed; they are not among the lives.
    pub(crate) failed: Vec<String>,
    /// In the order in which they were lived.
    pub(crate) lives: Vec<Life>,
}

/// Pods of one kind, several at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Batches {
    /// The kind.
    pub(crate) subject: String,
    /// How many at a time.
    pub(crate) at_once: u32,
    /// In the order in which they were lived.
    pub(crate) batches: Vec<Batch>,
}

/// A part of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// `RunPodSandbox`.
    Sandbox,
    /// `CreateContainer` and `StartContainer`.
    CreateStart,
    /// The first line or answer, from the beginning.
    FirstOutput,
    /// The event of the end, from the beginning.
    Exit,
    /// `StopPodSandbox` and `RemovePodSandbox`.
    StopRemove,
    /// All of it.
    Whole,
}

impl Starts {
    /// The samples of a step, in milliseconds.
    pub(crate) fn samples(&self, step: Step) -> Vec<f64> {
        let take = |life: &Life| match step {
            Step::Sandbox => Some(life.sandbox),
            Step::CreateStart => Some(life.create + life.start),
            Step::FirstOutput => Some(life.first_output),
            Step::Exit => life.exit,
            Step::StopRemove => Some(life.stop + life.remove),
            Step::Whole => Some(life.whole),
        };
        self.lives.iter().filter_map(take).collect()
    }

    /// What they are like.
    pub(crate) fn summary(&self, step: Step) -> Option<Summary> {
        Summary::of(&self.samples(step))
    }
}

impl Batches {
    /// Pods a second, batch by batch.
    pub(crate) fn rates(&self) -> Vec<f64> {
        self.batches.iter().map(Batch::rate).collect()
    }
}

impl Results {
    /// Pods of a kind, one at a time.
    pub(crate) fn starts(&self, subject: &str) -> Option<&Starts> {
        self.starts.iter().find(|starts| starts.subject == subject)
    }

    /// Pods of a kind, several at a time.
    pub(crate) fn batches(&self, subject: &str) -> Option<&Batches> {
        self.batches
            .iter()
            .find(|batches| batches.subject == subject)
    }

    /// Kept pods of a kind, this many.
    pub(crate) fn kept(&self, subject: &str, pods: u32) -> Option<&Kept> {
        let of = |kept: &&Kept| kept.subject == subject && kept.pods == pods;
        self.memory.iter().find(of)
    }

    /// A step of one kind against the same of another.
    pub(crate) fn ratio(&self, subject: &str, baseline: &str, step: Step) -> Option<Ratio> {
        let [a, b] = [subject, baseline].map(|name| Some(self.starts(name)?.samples(step)));
        Ratio::of(&a?, &b?)
    }

    /// Pods a second of one kind against another's.
    pub(crate) fn rate_ratio(&self, subject: &str, baseline: &str) -> Option<Ratio> {
        let [a, b] = [subject, baseline].map(|name| Some(self.batches(name)?.rates()));
        Ratio::of(&a?, &b?)
    }
}
