//! systemd over its private D-Bus socket, peer to peer: no bus daemon, no nsenter, no `hostPID`.
//!
//! The socket (`/run/systemd/private`) is systemd's own and only root's. Every call has a deadline: one lost reply
//! must not leave a node without containerd.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slipway_systemd::{
    Body, Connection, Incoming, MANAGER, MANAGER_INTERFACE, NO_SUCH_UNIT, PRIVATE_SOCKET, Signed,
    Value,
};

use crate::failure::Reason;
use crate::host::HostRoot;

const UNIT_INTERFACE: &str = "org.freedesktop.systemd1.Unit";
const SERVICE_INTERFACE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES_INTERFACE: &str = "org.freedesktop.DBus.Properties";

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
    connection: Connection,
}

impl Systemd {
    /// Connects to the systemd of the node.
    pub fn connect(root: &HostRoot) -> Result<Self, SystemdError> {
        let unreachable = |source| SystemdError::Connect {
            path: PathBuf::from(PRIVATE_SOCKET),
            source,
        };
        let local = root
            .locate(Path::new(PRIVATE_SOCKET))
            .map_err(|error| unreachable(io::Error::other(error)))?;
        let deadline = Instant::now() + CALL_LIMIT;
        let mut connection = Connection::open(&local, CALL_LIMIT).map_err(unreachable)?;
        connection
            .authenticate(deadline)
            .map_err(|error| unreachable(error.into()))?;
        Ok(Self { connection })
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
            &Signed::strings(&[unit]),
        );
        let arguments = Signed::strings(&[unit, "replace"]);
        self.job(&format!("restart {unit}"), "RestartUnit", &arguments, limit)
    }

    /// Stops a unit and waits for its job; that there is no such unit is success.
    pub fn stop(&mut self, unit: &str, limit: Duration) -> Result<(), SystemdError> {
        let arguments = Signed::strings(&[unit, "replace"]);
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
        self.job(
            &format!("start {unit}"),
            "StartTransientUnit",
            &transient_service(unit, description, command),
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
            &Signed::strings(&[unit]),
        ) {
            Ok(results) => text(&what, results.into_iter().next())?,
            Err(SystemdError::Refused { name, .. }) if name == NO_SUCH_UNIT => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut property = |interface: &str, name: &str| {
            let arguments = Signed::strings(&[interface, name]);
            self.call(&what, &path, PROPERTIES_INTERFACE, "Get", &arguments)?
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

    /// Calls a method and waits for its results; signals that come in between are dropped.
    fn call(
        &mut self,
        what: &str,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &Signed,
    ) -> Result<Vec<Value>, SystemdError> {
        let deadline = Instant::now() + CALL_LIMIT;
        let broken = |error: slipway_systemd::Error| broken(what, CALL_LIMIT, error.into());
        let call = self
            .connection
            .call(path, interface, method, arguments)
            .map_err(|error| broken(error.into()))?;
        loop {
            match self.connection.receive_until(deadline).map_err(broken)? {
                Incoming::Reply { serial, body } if serial == call => return Ok(body),
                Incoming::Error {
                    serial,
                    name,
                    message,
                } if serial == call => {
                    return Err(SystemdError::Refused {
                        what: what.to_owned(),
                        name,
                        message,
                    });
                }
                _ => {}
            }
        }
    }

    /// Calls a method that makes a job, and waits for the job's end. A private connection gets every signal without
    /// asking, and the job's end never before the reply that names it.
    fn job(
        &mut self,
        what: &str,
        method: &str,
        arguments: &Signed,
        limit: Duration,
    ) -> Result<(), SystemdError> {
        let deadline = Instant::now() + limit;
        let results = self.call(what, MANAGER, MANAGER_INTERFACE, method, arguments)?;
        let job = text(what, results.into_iter().next())?;
        loop {
            let incoming = self
                .connection
                .receive_until(deadline)
                .map_err(|error| broken(what, limit, error.into()))?;
            match incoming.job_removed() {
                Some((removed, "done" | "skipped")) if removed == job => return Ok(()),
                Some((removed, result)) if removed == job => {
                    return Err(SystemdError::Job {
                        what: what.to_owned(),
                        result: result.to_owned(),
                    });
                }
                _ => {}
            }
        }
    }
}

/// The arguments of `StartTransientUnit` for a service that runs one command.
fn transient_service(unit: &str, description: &str, command: &[String]) -> Signed {
    let mut body = Body::default();
    body.string(unit);
    body.string("fail");
    body.array(8, |properties| {
        for (name, value) in [
            ("Description", description),
            ("Type", "exec"),
            // Gone as soon as it ends, also if it fails: nothing stays behind on the node.
            ("CollectMode", "inactive-or-failed"),
        ] {
            properties.property(name, "s", |body| body.string(value));
        }
        // One command, whose failure counts.
        properties.property("ExecStart", "a(sasb)", |body| {
            body.array(8, |commands| {
                commands.align(8);
                commands.string(command.first().map_or("", String::as_str));
                commands.array(4, |words| {
                    command.iter().for_each(|word| words.string(word));
                });
                commands.boolean(false);
            });
        });
    });
    body.empty_array(8); // no auxiliary units
    body.signed("ssa(sv)a(sa(sv))")
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

#[cfg(test)]
mod tests;
