//! systemd over its private D-Bus socket, peer to peer: no bus daemon, no nsenter, no `hostPID`.
//!
//! The socket (`/run/systemd/private`) is systemd's own and only root's. Every call has a deadline: one lost reply
//! must not leave a node without containerd.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::runtime::Runtime;

use zbus::{Connection, MessageStream, OwnedObjectPath, OwnedVariant, Variant};

use crate::failure::Reason;
use crate::host::HostRoot;

const SOCKET: &str = "/run/systemd/private";
const MANAGER: &str = "/org/freedesktop/systemd1";
const MANAGER_INTERFACE: &str = "org.freedesktop.systemd1.Manager";
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
    /// D-Bus said no.
    #[error("systemd refused to {what}")]
    Call {
        /// What was asked.
        what: String,
        /// The cause.
        #[source]
        source: Box<zbus::Error>,
    },
    /// D-Bus said nothing.
    #[error("systemd did not {what} within {} seconds", .limit.as_secs())]
    Timeout {
        /// What was asked.
        what: String,
        /// The limit.
        limit: Duration,
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
            Self::Call { .. } | Self::Timeout { .. } => "SystemdCallFailed",
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
    /// The main process, 0 if there is none.
    pub main_pid: u32,
}

/// A connection to PID 1.
#[derive(Debug)]
pub struct Systemd<'r> {
    runtime: &'r Runtime,
    connection: Connection,
}

impl<'r> Systemd<'r> {
    /// Connects to the systemd of the node.
    pub fn connect(runtime: &'r Runtime, root: &HostRoot) -> Result<Self, SystemdError> {
        let unreachable = |source| SystemdError::Connect {
            path: PathBuf::from(SOCKET),
            source,
        };
        let local = root
            .locate(Path::new(SOCKET))
            .map_err(|error| unreachable(io::Error::other(error)))?;
        let connection = runtime.block_on(async {
            let stream = UnixStream::connect(local).map_err(unreachable)?;
            let build = zbus::connection::Builder::unix_stream(stream).p2p().build();
            limited("greet", CALL_LIMIT, async {
                build.await.map_err(|source| refused("greet", source))
            })
            .await
        })?;
        Ok(Self {
            runtime,
            connection,
        })
    }

    /// Restarts a unit and waits for its job. Returns what the job came to; whether the service then works is for the
    /// caller to see.
    pub fn restart(&self, unit: &str, limit: Duration) -> Result<(), SystemdError> {
        // A unit that hit its start limit while it was broken would refuse the restart that repairs it.
        let _ = self.call("reset", "ResetFailedUnit", &(unit,));
        self.job(
            &format!("restart {unit}"),
            "RestartUnit",
            &(unit, "replace"),
            limit,
        )
    }

    /// Stops a unit and waits for its job; that there is no such unit is success.
    pub fn stop(&self, unit: &str, limit: Duration) -> Result<(), SystemdError> {
        match self.job(
            &format!("stop {unit}"),
            "StopUnit",
            &(unit, "replace"),
            limit,
        ) {
            Err(SystemdError::Call { source, .. }) if is_no_such_unit(&source) => Ok(()),
            other => other,
        }
    }

    /// Starts a program as a transient service of its own, outside any pod.
    pub fn start_transient(
        &self,
        unit: &str,
        description: &str,
        command: &[String],
    ) -> Result<(), SystemdError> {
        let program = command.first().cloned().unwrap_or_default();
        let properties: Vec<(&str, Variant<'_>)> = vec![
            ("Description", Variant::from(description)),
            ("Type", Variant::from("exec")),
            // Gone as soon as it ends, also if it fails: nothing stays behind on the node.
            ("CollectMode", Variant::from("inactive-or-failed")),
            (
                "ExecStart",
                Variant::from(vec![(program, command.to_vec(), false)]),
            ),
        ];
        let none: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
        let what = format!("start {unit}");
        self.job(
            &what,
            "StartTransientUnit",
            &(unit, "fail", properties, none),
            CALL_LIMIT,
        )
    }

    /// The state of a service, or `None` if systemd has not loaded it.
    pub fn unit(&self, unit: &str) -> Result<Option<UnitState>, SystemdError> {
        let what = format!("show {unit}");
        let path = match self.call(&what, "GetUnit", &(unit,)) {
            Ok(reply) => reply
                .body()
                .deserialize::<OwnedObjectPath>()
                .map_err(|source| refused(&what, source))?,
            Err(SystemdError::Call { source, .. }) if is_no_such_unit(&source) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(UnitState {
            active: self.property(&path, UNIT_INTERFACE, "ActiveState")?,
            sub: self.property(&path, UNIT_INTERFACE, "SubState")?,
            active_since_us: self.property(&path, UNIT_INTERFACE, "ActiveEnterTimestamp")?,
            result: self.property(&path, SERVICE_INTERFACE, "Result")?,
            exit_status: self.property(&path, SERVICE_INTERFACE, "ExecMainStatus")?,
            main_pid: self.property(&path, SERVICE_INTERFACE, "MainPID")?,
        }))
    }

    fn property<T>(
        &self,
        path: &OwnedObjectPath,
        interface: &str,
        name: &str,
    ) -> Result<T, SystemdError>
    where
        T: TryFrom<OwnedVariant, Error = zbus::Error>,
    {
        let what = format!("tell {name}");
        let arguments = (interface, name);
        let call = self.connection.call_method(
            None::<&str>,
            path.as_ref(),
            Some(PROPERTIES_INTERFACE),
            "Get",
            &arguments,
        );
        let reply = self.runtime.block_on(limited(&what, CALL_LIMIT, async {
            call.await.map_err(|source| refused(&what, source))
        }))?;
        reply
            .body()
            .deserialize::<OwnedVariant>()
            .and_then(|value| T::try_from(value))
            .map_err(|source| refused(&what, source))
    }

    fn call<B>(&self, what: &str, method: &str, body: &B) -> Result<zbus::Message, SystemdError>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        let call = self.connection.call_method(
            None::<&str>,
            MANAGER,
            Some(MANAGER_INTERFACE),
            method,
            body,
        );
        self.runtime.block_on(limited(what, CALL_LIMIT, async {
            call.await.map_err(|source| refused(what, source))
        }))
    }

    /// Calls a method that makes a job, and waits for the job's end.
    fn job<B>(
        &self,
        what: &str,
        method: &str,
        body: &B,
        limit: Duration,
    ) -> Result<(), SystemdError>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.runtime.block_on(limited(what, limit, async {
            // Listen before asking: the job's end can come before the reply is read.
            let mut signals = MessageStream::from(&self.connection);
            let subscribe = self.connection.call_method(
                None::<&str>,
                MANAGER,
                Some(MANAGER_INTERFACE),
                "Subscribe",
                &(),
            );
            match subscribe.await {
                Ok(_) => {}
                // A second subscription on one connection.
                Err(error)
                    if error_name(&error) == Some("org.freedesktop.systemd1.AlreadySubscribed") => {
                }
                Err(source) => return Err(refused(what, source)),
            }
            let reply = self
                .connection
                .call_method(None::<&str>, MANAGER, Some(MANAGER_INTERFACE), method, body)
                .await
                .map_err(|source| refused(what, source))?;
            let body = reply.body();
            let job: OwnedObjectPath =
                body.deserialize().map_err(|source| refused(what, source))?;
            while let Some(message) = signals.next().await {
                let message = message.map_err(|source| refused(what, source))?;
                if message
                    .header()
                    .member()
                    .is_none_or(|member| member.as_str() != "JobRemoved")
                {
                    continue;
                }
                let body = message.body();
                let Ok((_, removed, _, result)) =
                    body.deserialize::<(u32, OwnedObjectPath, String, String)>()
                else {
                    continue;
                };
                if removed == job {
                    return match result.as_str() {
                        "done" | "skipped" => Ok(()),
                        _ => Err(SystemdError::Job {
                            what: what.to_owned(),
                            result,
                        }),
                    };
                }
            }
            Err(SystemdError::Job {
                what: what.to_owned(),
                result: "connection lost".to_owned(),
            })
        }))
    }
}

async fn limited<T>(
    what: &str,
    limit: Duration,
    work: impl Future<Output = Result<T, SystemdError>>,
) -> Result<T, SystemdError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(SystemdError::Timeout {
            what: what.to_owned(),
            limit,
        }),
    }
}

fn refused(what: &str, source: zbus::Error) -> SystemdError {
    SystemdError::Call {
        what: what.to_owned(),
        source: Box::new(source),
    }
}

fn error_name(error: &zbus::Error) -> Option<&str> {
    match error {
        zbus::Error::MethodError(name, _, _) => Some(name.as_str()),
        _ => None,
    }
}

fn is_no_such_unit(error: &zbus::Error) -> bool {
    error_name(error) == Some("org.freedesktop.systemd1.NoSuchUnit")
}
