//! What a transaction asks of the node besides its files.

use std::collections::BTreeMap;

use crate::failure::Reason;
use crate::host::files::FileError;
use crate::journal::Transaction;
use crate::systemd::SystemdError;

/// containerd's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answers, with these handlers and their types.
    Ready {
        /// `runtime_type` by handler.
        runtimes: BTreeMap<String, String>,
    },
    /// Not yet, and why.
    Starting(String),
    /// Its unit failed: waiting is of no use.
    Failed,
}

/// Why the node did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A restart came to nothing.
    #[error(transparent)]
    Job(SystemdError),
    /// systemd.
    #[error(transparent)]
    Systemd(SystemdError),
    /// The recovery unit.
    #[error("the way back over a reboot cannot be prepared (a unit in /etc/systemd/system)")]
    Recovery(#[from] FileError),
}

impl From<SystemdError> for ControlError {
    fn from(error: SystemdError) -> Self {
        match error {
            SystemdError::Job { .. } | SystemdError::Timeout { .. } => Self::Job(error),
            _ => Self::Systemd(error),
        }
    }
}

impl Reason for ControlError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Job(error) | Self::Systemd(error) => error.reason(),
            Self::Recovery(_) => "RecoveryUnavailable",
        }
    }
}

/// The node's containerd and its supervisor.
pub trait Control {
    /// Restarts containerd, and returns when its unit has started or failed to.
    fn restart(&mut self) -> Result<(), ControlError>;
    /// When the unit last became active, in microseconds since the epoch; `None` if it is not active now.
    fn active_since_us(&mut self) -> Result<Option<u64>, ControlError>;
    /// Whether it answers.
    fn health(&mut self) -> Result<Health, ControlError>;
    /// Its own explanation of why it does not.
    fn last_words(&mut self) -> String;
    /// Starts what undoes the transaction if nobody ends it.
    fn start_watchdog(&mut self, transaction: &Transaction) -> Result<(), ControlError>;
    /// Stops it, and returns when it is gone.
    fn stop_watchdog(&mut self, transaction: &Transaction) -> Result<(), ControlError>;
    /// Prepares what undoes the transaction at the next boot, before containerd starts.
    fn arm_recovery(&mut self, transaction: &Transaction) -> Result<(), ControlError>;
    /// Takes it away again; that there is none is success.
    fn disarm_recovery(&mut self) -> Result<(), ControlError>;
}
