//! The report: one JSON object of at most 4096 bytes, the kubelet's limit for a termination message
//! (`MaxContainerTerminationMessageLength`, kubernetes/pkg/kubelet/container).

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The kubelet cuts a longer termination message, which would leave half an object.
pub const MAX_BYTES: usize = 4096;

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The node is as asked, and something was changed for it.
    Done,
    /// The node was already as asked.
    Unchanged,
    /// Nothing was changed.
    Refused,
    /// The change did not work and was undone; containerd answers.
    RolledBack,
    /// The node needs a person.
    Failed,
}

impl Outcome {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Done | Self::Unchanged => 0,
            Self::Refused => 3,
            Self::RolledBack => 4,
            Self::Failed => 5,
        }
    }
}

/// How containerd's configuration is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Method {
    /// A file of our own that the root file imports.
    DropIn,
    /// Tables inside a file that is not ours.
    InPlace,
}

/// The containerd that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerdReport {
    /// As its binary says.
    pub version: String,
    /// The root configuration file.
    pub config: PathBuf,
    /// The systemd unit.
    pub unit: String,
    /// The CRI socket.
    pub socket: PathBuf,
    /// How its configuration is changed; absent until planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
}

/// The shim that was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimReport {
    /// Its name among those of the node.
    pub name: String,
    /// The payload's digest; none if the shim was on the host before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The absolute path in `runtime_type`.
    pub path: PathBuf,
}

/// A step and how long it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step.
    pub name: String,
    /// Milliseconds.
    pub ms: u64,
}

/// The whole report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Of this format.
    pub version: u32,
    /// `install` or `uninstall`.
    pub operation: String,
    /// How it ended.
    pub outcome: Outcome,
    /// CamelCase.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// What was detected.
    pub containerd: Option<ContainerdReport>,
    /// What was placed.
    pub shim: Option<ShimReport>,
    /// The handlers that are served now.
    pub handlers: Vec<String>,
    /// `systemd` or `cgroupfs`.
    pub cgroup_driver: Option<String>,
    /// Whether containerd was restarted.
    pub restarted: bool,
    /// What was done, in order.
    pub steps: Vec<StepReport>,
    /// What is worth knowing besides, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    #[serde(skip)]
    current: Option<(String, Instant)>,
}

/// Is told of every step before it begins.
pub trait Steps {
    /// The step that begins now.
    fn enter(&mut self, step: &str);
}

impl Steps for Report {
    fn enter(&mut self, step: &str) {
        tracing::info!("{step}");
        self.close_step();
        self.current = Some((step.to_owned(), Instant::now()));
    }
}

impl Report {
    /// An empty report of an operation that has not ended.
    pub fn new(operation: &str) -> Self {
        Self {
            version: 1,
            operation: operation.to_owned(),
            outcome: Outcome::Failed,
            reason: "Interrupted".to_owned(),
            message: "the installer was interrupted".to_owned(),
            containerd: None,
            shim: None,
            handlers: Vec::new(),
            cgroup_driver: None,
            restarted: false,
            steps: Vec::new(),
            notes: Vec::new(),
            current: None,
        }
    }

    /// Sets how the operation ended.
    pub fn end(&mut self, outcome: Outcome, reason: &str, message: impl Into<String>) {
        self.close_step();
        self.outcome = outcome;
        reason.clone_into(&mut self.reason);
        self.message = message.into();
    }

    /// Sets how the operation ended, badly.
    pub fn fail(&mut self, failure: &Failure) {
        self.end(failure.outcome, failure.reason, failure.message.clone());
    }

    /// Adds something worth knowing, once.
    pub fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            tracing::warn!("{note}");
            self.notes.push(note);
        }
    }

    /// Writes down how long the step under way took.
    fn close_step(&mut self) {
        if let Some((name, started)) = self.current.take() {
            let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.steps.push(StepReport { name, ms });
        }
    }

    /// The JSON text, shortened until it fits: first the message, then the steps and notes.
    pub fn to_json(&self) -> String {
        let mut report = self.clone();
        report.message = one_line(&report.message);
        loop {
            let text = serde_json::to_string(&report).unwrap_or_else(|_| "{}".to_owned());
            if text.len() <= MAX_BYTES {
                return text;
            }
            if report.message.chars().count() > 400 {
                let keep = report.message.chars().count() / 2;
                report.message = report
                    .message
                    .chars()
                    .take(keep)
                    .chain("…".chars())
                    .collect();
            } else if report.steps.pop().is_none()
                && report.notes.pop().is_none()
                && report.handlers.pop().is_none()
            {
                report.containerd = None;
                report.shim = None;
                report.message = report.message.chars().take(100).collect();
                return serde_json::to_string(&report).unwrap_or_else(|_| "{}".to_owned());
            }
        }
    }

    /// Writes the report in place: a termination log is a mounted file, which cannot be replaced by a rename.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        file.write_all(self.to_json().as_bytes())
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_the_agreed_form() {
        let mut report = Report::new("install");
        report.end(
            Outcome::RolledBack,
            "RestartFailed",
            "containerd did not answer",
        );
        report.handlers = vec!["wasmtime".to_owned()];
        assert_eq!(
            report.to_json(),
            r#"{"version":1,"operation":"install","outcome":"rolledBack","reason":"RestartFailed","message":"containerd did not answer","containerd":null,"shim":null,"handlers":["wasmtime"],"cgroupDriver":null,"restarted":false,"steps":[]}"#
        );
    }

    #[test]
    fn a_report_never_exceeds_the_kubelets_limit() {
        let mut report = Report::new("install");
        report.end(
            Outcome::Refused,
            "ConfigUnparsable",
            "\u{1F980}\"\\\n".repeat(4000),
        );
        report.steps = (0..500)
            .map(|n| StepReport {
                name: format!("step {n}"),
                ms: n,
            })
            .collect();
        report.handlers = (0..500).map(|n| format!("handler-{n}")).collect();
        report.notes = (0..500).map(|n| format!("note {n}")).collect();
        let text = report.to_json();
        assert!(text.len() <= MAX_BYTES, "{}", text.len());
        let back: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(back.outcome, Outcome::Refused);
    }
}
