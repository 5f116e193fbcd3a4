//! The installer's report: JSON from a container's termination message, so from outside, and bounded.

use serde::Deserialize;
use slipway_crds::node_shim::Operation;

/// The kubelet cuts termination messages here (`MaxContainerTerminationMessageLength`).
const MAX_BYTES: usize = 4096;
const MAX_REASON: usize = 64;
const MAX_MESSAGE: usize = 2048;
const MAX_HANDLERS: usize = 16;
const MAX_HANDLER: usize = 63;
const MAX_NOTES: usize = 16;
const MAX_NOTE: usize = 1024;

/// How an installer run ended.
#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The node was changed as asked.
    Done,
    /// The node was as asked already.
    Unchanged,
    /// The node was left alone, on purpose.
    Refused,
    /// The change did not work; the node is as before.
    RolledBack,
    /// The change did not work, nor did taking it back.
    Failed,
}

impl Outcome {
    /// As the report spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::RolledBack => "rolledBack",
            Self::Failed => "failed",
        }
    }

    /// Whether the node now is as asked.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Done | Self::Unchanged)
    }
}

/// What an installer run says of itself.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    version: u32,
    /// What it was to do.
    pub operation: Operation,
    /// How it ended.
    pub outcome: Outcome,
    /// `CamelCase`.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// What it found.
    #[serde(default)]
    pub containerd: Option<Containerd>,
    /// What it put there.
    #[serde(default)]
    pub shim: Option<Shim>,
    /// The handlers containerd knows now.
    #[serde(default)]
    pub handlers: Vec<String>,
    /// `systemd` or `cgroupfs`.
    #[serde(default)]
    pub cgroup_driver: Option<String>,
    /// Whether containerd was restarted.
    #[serde(default)]
    pub restarted: bool,
    /// What is worth knowing besides, a sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
    #[serde(default)]
    steps: Vec<Step>,
}

/// The containerd that serves the kubelet.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct Containerd {
    /// Its version.
    pub version: Option<String>,
    /// The file that was written.
    pub config: Option<String>,
    /// `dropIn` or `inPlace`.
    pub method: Option<String>,
}

/// The shim on the node.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct Shim {
    /// Digest of its binaries.
    pub digest: Option<String>,
    /// Its absolute path.
    pub path: Option<String>,
}

#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default)]
struct Step {
    ms: u64,
}

/// A termination message that is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than the kubelet passes on.
    #[error("the installer's report has {0} bytes, more than {MAX_BYTES}")]
    TooLong(usize),
    /// Not JSON, or not of the form agreed on.
    #[error("the installer's report cannot be read: {0}")]
    Malformed(String),
    /// Of another version than ours.
    #[error(
        "the installer's report has version {0}; this operator reads 1: use installer and operator of one release"
    )]
    Version(u32),
    /// About something else than was asked.
    #[error("the installer's report is about {found}, but {wanted} was asked for")]
    Operation {
        /// What was asked.
        wanted: Operation,
        /// What it speaks of.
        found: Operation,
    },
    /// Success with a failing exit code, or the other way round.
    #[error("the installer reports {outcome} but exited with {code}")]
    Contradiction {
        /// What it says.
        outcome: &'static str,
        /// What it did.
        code: i32,
    },
}

impl Report {
    /// Reads a termination message, given what was asked for and how the container exited.
    ///
    /// # Errors
    /// When it is no report, or contradicts what is known otherwise.
    pub fn parse(text: &str, wanted: Operation, code: i32) -> Result<Self, Error> {
        if text.len() > MAX_BYTES {
            return Err(Error::TooLong(text.len()));
        }
        let mut report: Self = serde_json::from_str(text)
            .map_err(|error| Error::Malformed(clean(&error.to_string(), MAX_MESSAGE)))?;
        if report.version != 1 {
            return Err(Error::Version(report.version));
        }
        if report.operation != wanted {
            return Err(Error::Operation {
                wanted,
                found: report.operation,
            });
        }
        if report.outcome.is_success() != (code == 0) {
            return Err(Error::Contradiction {
                outcome: report.outcome.as_str(),
                code,
            });
        }
        report.reason = reason(&report.reason);
        report.message = clean(&report.message, MAX_MESSAGE);
        report.handlers.truncate(MAX_HANDLERS);
        for handler in &mut report.handlers {
            *handler = clean(handler, MAX_HANDLER);
        }
        report.notes.truncate(MAX_NOTES);
        for note in &mut report.notes {
            *note = clean(note, MAX_NOTE);
        }
        report.notes.retain(|note| !note.is_empty());
        Ok(report)
    }

    /// How long its steps took together, in milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        self.steps
            .iter()
            .fold(0, |sum, step| sum.saturating_add(step.ms))
    }
}

/// The sentence of a termination message that is a report of whatever kind.
#[must_use]
pub fn message(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Told {
        message: String,
    }
    let told: Told = serde_json::from_str(text).ok()?;
    Some(clean(&told.message, MAX_MESSAGE))
}

/// Text from outside as one line of at most `max` bytes.
#[must_use]
pub fn clean(text: &str, max: usize) -> String {
    let mut line = String::new();
    for character in text.trim().chars() {
        let character = if character.is_control() {
            ' '
        } else {
            character
        };
        if line.len() + character.len_utf8() > max {
            break;
        }
        line.push(character);
    }
    line
}

/// A reason that meta/v1 conditions accept, whatever was reported.
fn reason(text: &str) -> String {
    let valid = text.len() <= MAX_REASON
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric());
    if valid {
        text.to_owned()
    } else {
        "Unspecified".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"version":1,"operation":"install","outcome":"done","reason":"Installed","message":"all well",
        "containerd":{"version":"2.4.2","config":"/etc/containerd/conf.d/99-slipway.toml","unit":"containerd.service",
        "socket":"/run/containerd/containerd.sock","method":"dropIn"},
        "shim":{"digest":"abc","path":"/opt/slipway/abc/containerd-shim-slipway-v1"},
        "handlers":["wasmtime"],"cgroupDriver":"systemd","restarted":true,
        "steps":[{"name":"detect","ms":5},{"name":"restart","ms":700}]}"#;

    #[test]
    fn a_good_report() {
        let report = Report::parse(GOOD, Operation::Install, 0).unwrap();
        assert_eq!(report.outcome, Outcome::Done);
        assert_eq!(report.duration_ms(), 705);
        assert_eq!(report.containerd.unwrap().method.as_deref(), Some("dropIn"));
    }

    #[test]
    fn notes_are_bounded_lines() {
        let noted = |notes: &[String]| {
            let notes = serde_json::to_string(notes).unwrap();
            let text = GOOD.replace("\"steps\"", &format!("\"notes\":{notes},\"steps\""));
            Report::parse(&text, Operation::Install, 0).unwrap().notes
        };
        assert_eq!(noted(&[]), <[String; 0]>::default());
        let odd = ["two\nlines".to_owned(), " ".to_owned(), "x".repeat(2000)];
        let notes = noted(&odd);
        assert_eq!(notes[0], "two lines");
        assert_eq!(notes.len(), 2, "one says nothing");
        assert_eq!(notes[1].len(), MAX_NOTE);
        assert_eq!(noted(&vec!["n".to_owned(); 40]).len(), MAX_NOTES);
    }

    #[test]
    fn parts_may_be_null() {
        let text = r#"{"version":1,"operation":"install","outcome":"refused","reason":"ConfigInvalid",
            "message":"m","containerd":null,"shim":null,"handlers":[],"cgroupDriver":null,"restarted":false,"steps":[]}"#;
        assert_eq!(
            Report::parse(text, Operation::Install, 3)
                .unwrap()
                .containerd,
            None
        );
    }

    #[test]
    fn bad_reports_say_what_is_wrong() {
        let other_version = GOOD.replace("\"version\":1", "\"version\":2");
        let odd_outcome = GOOD.replace("\"done\"", "\"fine\"");
        let long = format!("{GOOD}{}", " ".repeat(MAX_BYTES));
        for (text, operation, code, says) in [
            ("", Operation::Install, 0, "cannot be read"),
            ("{\"version\":1", Operation::Install, 0, "cannot be read"),
            ("[]", Operation::Install, 0, "cannot be read"),
            (&*odd_outcome, Operation::Install, 0, "cannot be read"),
            (&*other_version, Operation::Install, 0, "version 2"),
            (GOOD, Operation::Uninstall, 0, "uninstall was asked for"),
            (GOOD, Operation::Install, 5, "exited with 5"),
            (&*long, Operation::Install, 0, "more than 4096"),
        ] {
            let error = Report::parse(text, operation, code)
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn what_comes_from_outside_is_one_bounded_line_with_a_valid_reason() {
        let text = GOOD
            .replace("\"Installed\"", "\"no such reason!\"")
            .replace("all well", &"ü\\n".repeat(800));
        let text = &text[..];
        let report = Report::parse(text, Operation::Install, 0);
        // 3 kB of message still fits the kubelet's bound here.
        let report = report.unwrap();
        assert_eq!(report.reason, "Unspecified");
        assert!(report.message.len() <= MAX_MESSAGE);
        assert!(!report.message.contains('\n'));
    }
}
