//! Log lines to the bundle's `log` FIFO, which containerd copies to its own log. The FIFO is never required:
//! `delete` and `-info` have none, and while containerd is away a line is lost rather than waited for.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use crate::api::types::Timestamp;

/// The longest line.
const MAX_LINE: usize = 4 << 10;

/// Where a pod's log goes.
#[derive(Debug, Clone)]
pub struct Log {
    fifo: PathBuf,
    pod: String,
    debug: bool,
}

impl Log {
    /// The log of `pod`, whose first bundle is the directory `bundle`.
    #[must_use]
    pub fn new(bundle: &std::path::Path, pod: &str, debug: bool) -> Self {
        Self {
            fifo: bundle.join("log"),
            pod: pod.to_owned(),
            debug,
        }
    }

    /// Something that must be seen.
    pub fn error(&self, container: &str, message: impl Display) {
        self.line("error", container, &message);
    }

    /// Something odd that the pod survives.
    pub fn warn(&self, container: &str, message: impl Display) {
        self.line("warning", container, &message);
    }

    /// Something for whoever asked with `-debug`.
    pub fn debug(&self, container: &str, message: impl Display) {
        if self.debug {
            self.line("debug", container, &message);
        }
    }

    fn line(&self, level: &str, container: &str, message: &dyn Display) {
        let line = line(
            level,
            &self.pod,
            container,
            &message.to_string(),
            Timestamp::now(),
        );
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if let Ok(fifo) = rustix::fs::open(&self.fifo, flags, Mode::empty()) {
            // Without room or reader the line is lost: a log must not stop a pod.
            let _ = std::fs::File::from(fifo).write(line.as_bytes());
        }
    }
}

/// logfmt, as containerd's own lines.
fn line(level: &str, pod: &str, container: &str, message: &str, time: Timestamp) -> String {
    let mut message = message.to_owned();
    if message.len() > MAX_LINE {
        message.truncate(message.floor_char_boundary(MAX_LINE));
    }
    format!(
        "time={}.{:09} level={level} msg={message:?} shim=slipway pod={pod} container={container}\n",
        time.seconds, time.nanos
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_carries_both_ids_and_stays_one_line() {
        let time = Timestamp {
            seconds: 12,
            nanos: 5,
        };
        assert_eq!(
            line("error", "pod", "ctr", "two\nlines", time),
            "time=12.000000005 level=error msg=\"two\\nlines\" shim=slipway pod=pod container=ctr\n"
        );
    }

    #[test]
    fn without_a_fifo_nothing_happens() {
        Log::new(std::path::Path::new("/nonexistent"), "p", true).debug("c", "x");
    }
}
