//! How an operation ends when it does not end well: the outcome, a reason that is part of the API, and a sentence.

use std::error::Error;
use std::path::Path;

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

    /// The same with paths as the node has them: in a Job its root is a mount, and errors of files name that.
    pub fn as_on_host(mut self, host_root: &Path) -> Self {
        let mount = host_root.to_string_lossy();
        let mount = mount.trim_end_matches('/');
        if mount.is_empty() {
            return self;
        }
        let mut message = String::with_capacity(self.message.len());
        let mut rest = self.message.as_str();
        while let Some(at) = rest.find(mount) {
            let (before, found) = rest.split_at(at);
            let after = &found[mount.len()..];
            message.push_str(before);
            // Only where a path begins: `/srv/host/x` is not below `/host`.
            let begins = !message.ends_with(|c: char| c.is_alphanumeric() || "/._-".contains(c));
            if !(begins && after.starts_with('/')) {
                message.push_str(mount);
            }
            rest = after;
        }
        message.push_str(rest);
        self.message = message;
        self
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_the_nodes() {
        let seen = |message: &str, root: &str| {
            Failure::refusal("X", message)
                .as_on_host(Path::new(root))
                .message
        };
        assert_eq!(
            seen("cannot read /host/etc/a: denied (\"/host/b\")", "/host"),
            "cannot read /etc/a: denied (\"/b\")"
        );
        assert_eq!(
            seen("/srv/host/x and /hosts/y and /host", "/host/"),
            "/srv/host/x and /hosts/y and /host"
        );
        assert_eq!(seen("/etc/a", "/"), "/etc/a");
    }
}
