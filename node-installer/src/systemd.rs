//! systemd over its private D-Bus socket, peer to peer: no bus daemon, no nsenter, no `hostPID`.
//!
//! The socket (`/run/systemd/private`) is systemd's own and only root's. Every call has a deadline: one lost reply
//! must not leave a node without containerd.

mod channel;
mod message;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use channel::Channel;
use message::{Argument, Incoming, Kind, Property, Value};

use crate::failure::Reason;
use crate::host::HostRoot;

const SOCKET: &str = "/run/systemd/private";
const MANAGER: &str = "/org/freedesktop/systemd1";
const MANAGER_INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const UNIT_INTERFACE: &str = "org.freedesktop.systemd1.Unit";
const SERVICE_INTERFACE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES_INTERFACE: &str = "org.freedesktop.DBus.Properties";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// For one call. PID 1 answers in milliseconds, or is reloading, which takes seconds on a busy node.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// Why systemd did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// No socket, or nobody behind it.
    #[error("cannot reach systemd at {path}: is systemd the node's init?")]
    Connect {
        /// The host path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// systemd said no.
    #[error("systemd refused to {what}: {message} ({name})")]
    Refused {
        /// What was asked.
        what: String,
        /// The error's D-Bus name.
        name: String,
        /// Its words.
        message: String,
    },
    /// The connection broke.
    #[error("the connection to systemd broke while it was to {what}")]
    Connection {
        /// What was asked.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("systemd did not {what} within {} seconds", .limit.as_secs())]
    Timeout {
        /// What was asked.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// An answer of another type.
    #[error("systemd was asked to {what} and answered something else")]
    Answer {
        /// What was asked.
        what: String,
    },
    /// The job ended otherwise than `done`.
    #[error("the job to {what} ended as {result:?}")]
    Job {
        /// What was asked.
        what: String,
        /// systemd's word (`failed`, `timeout`, `canceled`, `dependency`).
        result: String,
    },
}

impl Reason for SystemdError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "SystemdUnreachable",
            Self::Refused { .. }
            | Self::Connection { .. }
            | Self::Timeout { .. }
            | Self::Answer { .. } => "SystemdCallFailed",
            Self::Job { .. } => "RestartFailed",
        }
    }
}

/// What systemd knows of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// `active`, `activating`, `failed`, …
    pub active: String,
    /// `running`, `auto-restart`, …
    pub sub: String,
    /// When it last became active, in microseconds since the epoch; 0 is never.
    pub active_since_us: u64,
    /// `success`, `exit-code`, `timeout`, …
    pub result: String,
    /// The main process's exit status.
    pub exit_status: i32,
}

/// A connection to PID 1.
#[derive(Debug)]
pub struct Systemd {
    channel: Channel,
}

impl Systemd {
    /// Connects to the systemd of the node.
    pub fn connect(root: &HostRoot) -> Result<Self, SystemdError> {
        let unreachable = |source| SystemdError::Connect {
            path: PathBuf::from(SOCKET),
            source,
        };
        let local = root
            .locate(Path::new(SOCKET))
            .map_err(|error| unreachable(io::Error::other(error)))?;
        Ok(Self {
            channel: Channel::open(&local, CALL_LIMIT).map_err(unreachable)?,
        })
    }

    /// Restarts a unit and waits for its job. Returns what the job came to; whether the service then works is for the
    /// caller to see.
    pub fn restart(&mut self, unit: &str, limit: Duration) -> Result<(), SystemdError> {
        // A unit that hit its start limit while it was broken would refuse the restart that repairs it. That it did
        // not fail before is no reason not to restart it.
        let _ = self.call(
            "reset",
            MANAGER,
            MANAGER_INTERFACE,
            "ResetFailedUnit",
            &[Argument::Text(unit)],
        );
        let arguments = [Argument::Text(unit), Argument::Text("replace")];
        self.job(&format!("restart {unit}"), "RestartUnit", &arguments, limit)
    }

    /// Stops a unit and waits for its job; that there is no such unit is success.
    pub fn stop(&mut self, unit: &str, limit: Duration) -> Result<(), SystemdError> {
        let arguments = [Argument::Text(unit), Argument::Text("replace")];
        match self.job(&format!("stop {unit}"), "StopUnit", &arguments, limit) {
            Err(SystemdError::Refused { name, .. }) if name == NO_SUCH_UNIT => Ok(()),
            other => other,
        }
    }

    /// Starts a program as a transient service of its own, outside any pod.
    pub fn start_transient(
        &mut self,
        unit: &str,
        description: &str,
        command: &[String],
    ) -> Result<(), SystemdError> {
        let properties = [
            ("Description", Property::Text(description)),
            ("Type", Property::Text("exec")),
            // Gone as soon as it ends, also if it fails: nothing stays behind on the node.
            ("CollectMode", Property::Text("inactive-or-failed")),
            ("ExecStart", Property::Command(command)),
        ];
        let arguments = [
            Argument::Text(unit),
            Argument::Text("fail"),
            Argument::Properties(&properties),
            Argument::NoUnits,
        ];
        self.job(
            &format!("start {unit}"),
            "StartTransientUnit",
            &arguments,
            CALL_LIMIT,
        )
    }

    /// The state of a service, or `None` if systemd has not loaded it.
    pub fn unit(&mut self, unit: &str) -> Result<Option<UnitState>, SystemdError> {
        let what = format!("show {unit}");
        let path = match self.call(
            &what,
            MANAGER,
            MANAGER_INTERFACE,
            "GetUnit",
            &[Argument::Text(unit)],
        ) {
            Ok(reply) => text(&what, reply.body.into_iter().next())?,
            Err(SystemdError::Refused { name, .. }) if name == NO_SUCH_UNIT => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut property = |interface: &str, name: &str| {
            let arguments = [Argument::Text(interface), Argument::Text(name)];
            let reply = self.call(&what, &path, PROPERTIES_INTERFACE, "Get", &arguments)?;
            reply
                .body
                .into_iter()
                .next()
                .ok_or_else(|| SystemdError::Answer { what: what.clone() })
        };
        Ok(Some(UnitState {
            active: text(&what, Some(property(UNIT_INTERFACE, "ActiveState")?))?,
            sub: text(&what, Some(property(UNIT_INTERFACE, "SubState")?))?,
            active_since_us: number(&what, &property(UNIT_INTERFACE, "ActiveEnterTimestamp")?)?,
            result: text(&what, Some(property(SERVICE_INTERFACE, "Result")?))?,
            exit_status: number(&what, &property(SERVICE_INTERFACE, "ExecMainStatus")?)?,
        }))
    }

    fn call(
        &mut self,
        what: &str,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &[Argument<'_>],
    ) -> Result<Incoming, SystemdError> {
        let deadline = Instant::now() + CALL_LIMIT;
        let reply = self
            .channel
            .call(path, interface, method, arguments, deadline)
            .map_err(|error| broken(what, CALL_LIMIT, error))?;
        match reply.kind {
            Kind::Error => {
                let message = text(what, reply.body.into_iter().next()).unwrap_or_default();
                Err(SystemdError::Refused {
                    what: what.to_owned(),
                    name: reply.error,
                    message,
                })
            }
            _ => Ok(reply),
        }
    }

    /// Calls a method that makes a job, and waits for the job's end. A private connection gets every signal without
    /// asking, and the job's end never before the reply that names it.
    fn job(
        &mut self,
        what: &str,
        method: &str,
        arguments: &[Argument<'_>],
        limit: Duration,
    ) -> Result<(), SystemdError> {
        let deadline = Instant::now() + limit;
        let reply = self.call(what, MANAGER, MANAGER_INTERFACE, method, arguments)?;
        let job = text(what, reply.body.into_iter().next())?;
        loop {
            let signal = self
                .channel
                .receive(deadline)
                .map_err(|error| broken(what, limit, error))?;
            // JobRemoved(id, job, unit, result).
            let [_, Value::Text(removed), _, Value::Text(result), ..] = signal.body.as_slice()
            else {
                continue;
            };
            if signal.kind == Kind::Signal && signal.member == "JobRemoved" && *removed == job {
                return match result.as_str() {
                    "done" | "skipped" => Ok(()),
                    _ => Err(SystemdError::Job {
                        what: what.to_owned(),
                        result: result.clone(),
                    }),
                };
            }
        }
    }
}

fn broken(what: &str, limit: Duration, source: io::Error) -> SystemdError {
    let what = what.to_owned();
    match source.kind() {
        io::ErrorKind::TimedOut => SystemdError::Timeout { what, limit },
        _ => SystemdError::Connection { what, source },
    }
}

fn text(what: &str, value: Option<Value>) -> Result<String, SystemdError> {
    match value {
        Some(Value::Text(text)) => Ok(text),
        _ => Err(SystemdError::Answer {
            what: what.to_owned(),
        }),
    }
}

fn number<T: TryFrom<u64> + TryFrom<i64>>(what: &str, value: &Value) -> Result<T, SystemdError> {
    let number = match value {
        Value::Unsigned(number) => T::try_from(*number).ok(),
        Value::Signed(number) => T::try_from(*number).ok(),
        Value::Text(_) => None,
    };
    number.ok_or_else(|| SystemdError::Answer {
        what: what.to_owned(),
    })
}
