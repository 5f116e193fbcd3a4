//! Asking systemd for a scope, for new limits, and to forget a scope.
//!
//! One connection a job: a connection kept open to systemd's private socket would get every signal of the node.

use std::os::fd::{AsFd, BorrowedFd};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use thiserror::Error;

mod connection;
mod message;
mod properties;

use connection::Connection;
use message::{Body, Incoming};
pub(crate) use properties::{Property, limits, scope};

const INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

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
    Protocol(&'static str),
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

impl UnitJob {
    /// Asks for a transient scope.
    pub(crate) fn start(unit: &str, properties: Vec<Property>) -> Result<Self, SystemdError> {
        Self::start_on(Connection::open()?, unit, properties)
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
            Connection::open()?,
            unit,
            Goal::Set { properties },
            "SetUnitProperties",
            &call,
        )
    }

    /// Asks to stop a scope and to forget it.
    pub(crate) fn stop(unit: &str) -> Result<Self, SystemdError> {
        Self::stop_on(Connection::open()?, unit)
    }

    fn stop_on(connection: Connection, unit: &str) -> Result<Self, SystemdError> {
        let mut body = Body::default();
        body.string(unit);
        body.string("replace");
        Self::begin(connection, unit, Goal::Stop, "StopUnit", &body.signed("ss"))
    }

    fn begin(
        connection: Connection,
        unit: &str,
        goal: Goal,
        method: &str,
        body: &message::Signed,
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

    fn send(&mut self, method: &str, body: &message::Signed) -> Result<(), SystemdError> {
        self.call = self
            .connection
            .call(INTERFACE, method, body)
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
                Err(connection::ReceiveError::Io(source)) => {
                    return Poll::Ready(Err(SystemdError::Io {
                        unit: self.unit.clone(),
                        source,
                    }));
                }
                Err(connection::ReceiveError::Protocol(what)) => {
                    return Poll::Ready(Err(SystemdError::Protocol(what)));
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
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(SystemdError::TimedOut {
                    unit: self.unit,
                    seconds: timeout.as_secs(),
                });
            }
            let left = Timespec {
                tv_sec: left.as_secs() as _,
                tv_nsec: left.subsec_nanos().into(),
            };
            // Being interrupted or woken for nothing only means another turn.
            let _ = poll(
                &mut [PollFd::new(&self.connection, PollFlags::IN)],
                Some(&left),
            );
        }
    }

    /// Takes one message; true when the goal is reached.
    fn advance(&mut self, incoming: Incoming) -> Result<bool, SystemdError> {
        match incoming {
            Incoming::Reply { serial, job } if serial == self.call => match &self.goal {
                Goal::Start { .. } | Goal::Stop => {
                    self.job = job;
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
            Incoming::JobRemoved { job, result } if self.job.as_deref() == Some(job.as_str()) => {
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
                    result,
                })
            }
            _ => Ok(false),
        }
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
        let mut body = Body::default();
        body.string(&self.unit);
        self.send("ResetFailedUnit", &body.signed("s"))
    }
}

fn start_transient_unit(unit: &str, properties: &[Property]) -> message::Signed {
    let mut body = Body::default();
    body.string(unit);
    body.string("replace");
    properties::write(&mut body, properties.iter());
    body.empty_array(8); // no auxiliary units
    body.signed("ssa(sv)a(sa(sv))")
}

fn set_unit_properties(unit: &str, properties: &[Property]) -> message::Signed {
    let mut body = Body::default();
    body.string(unit);
    body.boolean(true);
    properties::write(&mut body, properties.iter());
    body.signed("sba(sv)")
}

#[cfg(test)]
mod tests;
