//! Asking systemd for a scope, for new limits, and to forget a scope.
//!
//! One connection a job: a connection kept open to systemd's private socket would get every signal of the node.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::task::Poll;
use std::time::{Duration, Instant};

use slipway_systemd::{
    BUS_SOCKET, Body, Connection, Incoming, MANAGER, MANAGER_INTERFACE, NO_SUCH_UNIT,
    PRIVATE_SOCKET, Signed, Value,
};
use thiserror::Error;

mod properties;

pub(crate) use properties::{Property, limits, scope};

const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
/// How long systemd may take to accept a connection and the few hundred bytes of a call.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// The same when nobody needs the connection yet.
const AHEAD_TIMEOUT: Duration = Duration::from_millis(2);

/// systemd could not be asked, or said no.
#[derive(Debug, Error)]
pub enum SystemdError {
    /// Neither of its sockets takes connections.
    #[error(
        "cgroupsPath asks for a systemd scope, but systemd cannot be reached at {path}: {source}"
    )]
    Connect {
        /// The last socket tried.
        path: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("systemd closed the connection before {unit} was done: {source}")]
    Io {
        /// The unit of the job.
        unit: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It did not speak D-Bus as expected.
    #[error("systemd sent what is not D-Bus: {0}")]
    Protocol(String),
    /// It refused the call.
    #[error("systemd refused {unit}: {message} ({name})")]
    Refused {
        /// The unit of the job.
        unit: String,
        /// The error's D-Bus name.
        name: String,
        /// Its words.
        message: String,
    },
    /// The job ended in another way than `done`.
    #[error("systemd's job for {unit} ended as {result:?} instead of \"done\"")]
    Job {
        /// The unit of the job.
        unit: String,
        /// As JobRemoved tells it.
        result: String,
    },
    /// No answer in time.
    #[error("systemd did not finish {unit} within {seconds} s")]
    TimedOut {
        /// The unit of the job.
        unit: String,
        /// How long we waited.
        seconds: u64,
    },
}

/// A job of systemd's that is under way. Poll [`UnitJob::as_fd`] for reading and call [`UnitJob::on_ready`] when it is
/// readable, until that is ready.
#[derive(Debug)]
pub struct UnitJob {
    connection: Connection,
    unit: String,
    goal: Goal,
    /// Serial of the call whose reply is awaited.
    call: u32,
    /// Object path of the job whose end is awaited.
    job: Option<String>,
}

#[derive(Debug)]
enum Goal {
    /// A scope with these properties; `reset` once a failed unit of that name was cleared away.
    Start {
        properties: Vec<Property>,
        reset: bool,
    },
    /// ResetFailedUnit on the way of `Start`.
    Reset { properties: Vec<Property> },
    /// New values of properties.
    Set { properties: Vec<Property> },
    /// The scope stopped, then forgotten even if it had failed.
    Stop,
    /// ResetFailedUnit after `Stop`.
    Forget,
}

/// A connection that is opened ahead: systemd lets it in while nobody waits for that. It gets every signal of the node
/// meanwhile, so it is not to be kept for long.
#[derive(Debug)]
pub struct SystemdConnection {
    connection: Connection,
    opened: Instant,
}

impl SystemdConnection {
    /// Opens it, to systemd's own socket, unless systemd is too busy to accept at once.
    pub fn open() -> std::io::Result<Self> {
        Ok(Self {
            connection: Connection::open(Path::new(PRIVATE_SOCKET), AHEAD_TIMEOUT)?,
            opened: Instant::now(),
        })
    }

    /// When that was.
    pub fn opened(&self) -> Instant {
        self.opened
    }
}

impl UnitJob {
    /// Asks for a transient scope, over a connection that was opened ahead if there is one that lives.
    pub(crate) fn start(
        unit: &str,
        properties: Vec<Property>,
        ahead: Option<SystemdConnection>,
    ) -> Result<Self, SystemdError> {
        if let Some(SystemdConnection { mut connection, .. }) = ahead
            // Let in by now, the call goes out at once.
            && connection.is_let_in().is_ok()
            && connection.bound_sending(SEND_TIMEOUT).is_ok()
            && let Ok(job) = Self::start_on(connection, unit, properties.clone())
        {
            return Ok(job);
        }
        Self::start_on(connect()?, unit, properties)
    }

    fn start_on(
        connection: Connection,
        unit: &str,
        properties: Vec<Property>,
    ) -> Result<Self, SystemdError> {
        let call = start_transient_unit(unit, &properties);
        Self::begin(
            connection,
            unit,
            Goal::Start {
                properties,
                reset: false,
            },
            "StartTransientUnit",
            &call,
        )
    }

    /// Asks for new values, until the next reboot.
    pub(crate) fn set(unit: &str, properties: Vec<Property>) -> Result<Self, SystemdError> {
        let call = set_unit_properties(unit, &properties);
        Self::begin(
            connect()?,
            unit,
            Goal::Set { properties },
            "SetUnitProperties",
            &call,
        )
    }

    /// Asks to stop a scope and to forget it.
    pub(crate) fn stop(unit: &str) -> Result<Self, SystemdError> {
        Self::stop_on(connect()?, unit)
    }

    fn stop_on(connection: Connection, unit: &str) -> Result<Self, SystemdError> {
        let body = Signed::strings(&[unit, "replace"]);
        Self::begin(connection, unit, Goal::Stop, "StopUnit", &body)
    }

    fn begin(
        connection: Connection,
        unit: &str,
        goal: Goal,
        method: &str,
        body: &Signed,
    ) -> Result<Self, SystemdError> {
        let mut job = Self {
            connection,
            unit: unit.to_owned(),
            goal,
            call: 0,
            job: None,
        };
        job.send(method, body)?;
        Ok(job)
    }

    fn send(&mut self, method: &str, body: &Signed) -> Result<(), SystemdError> {
        self.call = self
            .connection
            .call(MANAGER, MANAGER_INTERFACE, method, body)
            .map_err(|source| SystemdError::Io {
                unit: self.unit.clone(),
                source,
            })?;
        self.job = None;
        Ok(())
    }

    /// What to poll for reading.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }

    /// Takes what systemd has sent; never blocks. Not to be called again after it was ready.
    pub fn on_ready(&mut self) -> Poll<Result<(), SystemdError>> {
        loop {
            match self.connection.receive() {
                Err(slipway_systemd::Error::Io(source)) => {
                    return Poll::Ready(Err(SystemdError::Io {
                        unit: self.unit.clone(),
                        source,
                    }));
                }
                Err(other) => {
                    return Poll::Ready(Err(SystemdError::Protocol(other.to_string())));
                }
                Ok(None) => return Poll::Pending,
                Ok(Some(incoming)) => match self.advance(incoming) {
                    Ok(true) => return Poll::Ready(Ok(())),
                    Ok(false) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                },
            }
        }
    }

    /// Blocks until the job is done, for callers without a loop.
    pub fn wait(mut self, timeout: Duration) -> Result<(), SystemdError> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Poll::Ready(result) = self.on_ready() {
                return result;
            }
            if self.connection.wait(deadline).is_err() {
                return Err(SystemdError::TimedOut {
                    unit: self.unit,
                    seconds: timeout.as_secs(),
                });
            }
        }
    }

    /// Takes one message; true when the goal is reached.
    fn advance(&mut self, incoming: Incoming) -> Result<bool, SystemdError> {
        if let (Some(awaited), Some((removed, result))) = (&self.job, incoming.job_removed()) {
            return if awaited == removed {
                self.ended(result)
            } else {
                Ok(false)
            };
        }
        match incoming {
            Incoming::Reply { serial, body } if serial == self.call => match &self.goal {
                Goal::Start { .. } | Goal::Stop => {
                    self.job = match body.into_iter().next() {
                        Some(Value::Text(job)) => Some(job),
                        _ => None,
                    };
                    Ok(false)
                }
                Goal::Reset { .. } => self.start_again(),
                Goal::Set { .. } | Goal::Forget => Ok(true),
            },
            Incoming::Error {
                serial,
                name,
                message,
            } if serial == self.call => self.refused(name, message),
            _ => Ok(false),
        }
    }

    /// Takes how the job ended; true when the goal is reached.
    fn ended(&mut self, result: &str) -> Result<bool, SystemdError> {
        if matches!(self.goal, Goal::Stop) {
            // However it ended: what failed is forgotten, as runc does.
            self.goal = Goal::Forget;
            self.reset_failed()?;
            return Ok(false);
        }
        if result == "done" {
            return Ok(true);
        }
        Err(SystemdError::Job {
            unit: self.unit.clone(),
            result: result.to_owned(),
        })
    }

    fn refused(&mut self, name: String, message: String) -> Result<bool, SystemdError> {
        match &mut self.goal {
            // No unit of that name is what we are after: systemd drops an empty scope by itself.
            Goal::Stop | Goal::Set { .. } if name == NO_SUCH_UNIT => Ok(true),
            Goal::Forget => Ok(true),
            // A failed scope of that name is in the way: clear it, once (runc's startUnit does the same).
            Goal::Start {
                properties,
                reset: false,
            } if name == UNIT_EXISTS => {
                self.goal = Goal::Reset {
                    properties: std::mem::take(properties),
                };
                self.reset_failed()?;
                Ok(false)
            }
            Goal::Reset { .. } => self.start_again(),
            // An older systemd knows fewer properties; what is left out is in the files of the cgroup all the same.
            Goal::Start { properties, .. }
                if properties.iter().any(|property| property.optional) =>
            {
                properties.retain(|property| !property.optional);
                let call = start_transient_unit(&self.unit, properties);
                self.send("StartTransientUnit", &call)?;
                Ok(false)
            }
            Goal::Set { properties } if properties.iter().any(|property| property.optional) => {
                properties.retain(|property| !property.optional);
                let call = set_unit_properties(&self.unit, properties);
                self.send("SetUnitProperties", &call)?;
                Ok(false)
            }
            _ => Err(SystemdError::Refused {
                unit: self.unit.clone(),
                name,
                message,
            }),
        }
    }

    fn start_again(&mut self) -> Result<bool, SystemdError> {
        if let Goal::Reset { properties } = &mut self.goal {
            let properties = std::mem::take(properties);
            let call = start_transient_unit(&self.unit, &properties);
            self.goal = Goal::Start {
                properties,
                reset: true,
            };
            self.send("StartTransientUnit", &call)?;
        }
        Ok(false)
    }

    fn reset_failed(&mut self) -> Result<(), SystemdError> {
        let body = Signed::strings(&[&self.unit]);
        self.send("ResetFailedUnit", &body)
    }
}

/// Its own socket, or the system bus where that is closed.
fn connect() -> Result<Connection, SystemdError> {
    Connection::open(Path::new(PRIVATE_SOCKET), SEND_TIMEOUT).or_else(|_| {
        Connection::open(Path::new(BUS_SOCKET), SEND_TIMEOUT)
            .and_then(Connection::join_bus)
            .map_err(|source| SystemdError::Connect {
                path: BUS_SOCKET,
                source,
            })
    })
}

fn start_transient_unit(unit: &str, properties: &[Property]) -> Signed {
    let mut body = Body::default();
    body.string(unit);
    body.string("replace");
    properties::write(&mut body, properties);
    body.empty_array(8); // no auxiliary units
    body.signed("ssa(sv)a(sa(sv))")
}

fn set_unit_properties(unit: &str, properties: &[Property]) -> Signed {
    let mut body = Body::default();
    body.string(unit);
    body.boolean(true);
    properties::write(&mut body, properties);
    body.signed("sba(sv)")
}

#[cfg(test)]
mod tests;
