//! How an operation ends when it does not end well: the outcome, a reason that is part of the API, and a sentence.

use std::error::Error;

use crate::report::Outcome;

/// Why an operation stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it means for the node.
    pub outcome: Outcome,
    /// CamelCase, stable: the operator puts it on conditions and events.
    pub reason: &'static str,
    /// One sentence for people.
    pub message: String,
}

/// An error that knows its reason.
pub trait Reason: Error {
    /// The CamelCase reason.
    fn reason(&self) -> &'static str;
}

impl Failure {
    /// Nothing was changed, because of this error.
    pub fn refused(error: &impl Reason) -> Self {
        Self {
            outcome: Outcome::Refused,
            reason: error.reason(),
            message: chain(error),
        }
    }

    /// Nothing was changed, for a reason that is no error of a module.
    pub fn refusal(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Refused,
            reason,
            message: message.into(),
        }
    }

    /// Something was changed and could not be put right.
    pub fn failed(error: &impl Reason) -> Self {
        Self {
            outcome: Outcome::Failed,
            reason: error.reason(),
            message: chain(error),
        }
    }

    /// What was asked for is not wholly done; running again goes on.
    pub fn unfinished(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Failed,
            reason,
            message: message.into(),
        }
    }
}

/// An error and its sources as one sentence.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
