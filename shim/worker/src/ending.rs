//! How a container ends: an exit status, and a sentence where there is something to explain.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use slipway_shim_wire::{EXIT_NOT_RUNNABLE, EXIT_TRAP, TERMINATION_LOG};
use wasmtime::{Error, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::log;

/// The most that a termination message holds (Kubernetes API, `ContainerStateTerminated.message`).
const MESSAGE: usize = 4096;

/// The end of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The exit status.
    pub status: i32,
    /// What the user should read, the first line a sentence.
    pub message: Option<String>,
}

impl Ending {
    /// The guest's own exit.
    #[must_use]
    pub fn exit(status: i32) -> Self {
        Self {
            status: status & 0xff,
            message: None,
        }
    }

    /// The guest could not be run; `reason` follows its path.
    #[must_use]
    pub fn not_runnable(path: &str, reason: impl std::fmt::Display) -> Self {
        Self {
            status: EXIT_NOT_RUNNABLE,
            message: Some(format!("{path}: {reason}")),
        }
    }

    /// The guest ended by an error: its exit, a trap, or a failure of what it called.
    #[must_use]
    pub fn failed(path: &str, error: &Error) -> Self {
        match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(status)) => Self::exit(*status),
            None => Self {
                status: EXIT_TRAP,
                message: Some(format!("{path}: {}", explain(error))),
            },
        }
    }

    /// Adds what to do about a trap.
    #[must_use]
    pub(crate) fn hint(mut self, hint: &str) -> Self {
        if let Some(message) = &mut self.message {
            message.push_str("\nhint: ");
            message.push_str(hint);
        }
        self
    }

    /// Tells the user, on stderr and in the termination message, and gives the exit status.
    #[must_use]
    pub fn tell(&self) -> i32 {
        if let Some(message) = &self.message {
            say(message);
            if let Some(log) = log::stderr() {
                log.settle();
            }
            note(Path::new(TERMINATION_LOG), message);
        }
        self.status
    }
}

/// Writes to the container's log. A server does not wait for who reads it.
pub(crate) fn say(message: &str) {
    let line = format!("slipway: {message}\n");
    // Nobody is left to be told if the log is gone.
    let _ = match log::stderr() {
        Some(log) => log.tell(&line),
        None => std::io::stderr().write_all(line.as_bytes()),
    };
}

/// A trap with the guest's backtrace, or what an import failed with.
pub(crate) fn explain(error: &Error) -> String {
    let reason = match error.downcast_ref::<Trap>() {
        Some(trap) => format!("the guest trapped: {trap}"),
        None => format!("the guest failed: {}", error.root_cause()),
    };
    match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) if !backtrace.frames().is_empty() => {
            format!("{reason}\n{}", backtrace.to_string().trim_end())
        }
        _ => reason,
    }
}

/// Fills in the termination message, unless the guest has written its own.
fn note(path: &Path, message: &str) {
    let Ok(mut file) = OpenOptions::new().write(true).open(path) else {
        return;
    };
    let ours = file
        .metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0);
    if ours {
        let end = message.floor_char_boundary(MESSAGE);
        let _ = file.write_all(&message.as_bytes()[..end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_status_is_kept() {
        let error = Error::from(I32Exit(130));
        assert_eq!(Ending::failed("/a.wasm", &error), Ending::exit(130));
        assert_eq!(Ending::exit(256).status, 0);
    }

    #[test]
    fn a_trap_is_explained() {
        let ending = Ending::failed("/a.wasm", &Error::from(Trap::UnreachableCodeReached));
        assert_eq!(ending.status, 134);
        assert_eq!(
            ending.message.as_deref(),
            Some("/a.wasm: the guest trapped: wasm trap: wasm `unreachable` instruction executed")
        );
    }

    #[test]
    fn the_termination_message_is_bounded_and_the_guest_s_own_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("termination-log");
        note(&path, "nowhere to write to");
        assert!(!path.exists());
        std::fs::write(&path, "").unwrap();
        note(&path, &"ä".repeat(MESSAGE));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), MESSAGE as u64);
        note(&path, "again");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), MESSAGE as u64);
    }
}
