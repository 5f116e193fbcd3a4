//! A change of the node as a whole: journalled, applied, proven, and committed or undone.
//!
//! ```text
//! Prepared ──► files written ──► Applied ──► restart ──► verify ──► Proven ──► commit (open.json removed)
//!    │                              │                       │
//!    └───────── undo ◄──────────────┴──────── undo ◄────────┘     RollingBack ──► restart ──► verify ──► closed
//! ```
//!
//! A run killed at any point leaves `open.json`; the next run, or the watchdog on the node, finds it and goes forward
//! if containerd proves healthy with the change, and back if not. Should the machine stop, a unit on its disk ([`boot`])
//! goes back before containerd starts, or forward if it was proven.

pub mod boot;
pub mod control;
pub mod live;

mod change;
pub(crate) use change::modified_us;
mod undo;

pub use control::{Control, ControlError, Health};

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use crate::detect::server::Server;
use crate::failure::{Failure, Reason, chain};
use crate::host::files::{self, FileError};
use crate::host::{HostRoot, root::RootError};
use crate::journal::store::JournalError;
use crate::journal::{Expectation, Journal, Stage, Transaction};
use crate::report::{Outcome, Steps};

/// How often a restarted containerd is asked whether it is ready.
const POLL: Duration = Duration::from_millis(200);

/// What transactions work on.
pub struct Engine<'e> {
    /// The node.
    pub root: &'e HostRoot,
    /// Its journal.
    pub journal: &'e Journal,
    /// Its containerd.
    pub control: &'e mut dyn Control,
    /// Is told of each step.
    pub steps: &'e mut dyn Steps,
    /// How long containerd may take to answer after a restart.
    pub ready_timeout: Duration,
    /// Whether containerd was restarted.
    pub restarted: bool,
}

/// Why a transaction did not go on.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A host file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A host path.
    #[error(transparent)]
    Root(#[from] RootError),
    /// systemd or containerd.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Somebody else writes to the same file.
    #[error(
        "{0} was changed by somebody else at the same time: nothing of theirs was overwritten, try again"
    )]
    ForeignEdit(PathBuf),
    /// containerd did not come back.
    #[error("{0} did not become ready: {1}")]
    NotReady(Server, String),
    /// It came back without the handler.
    #[error("{0} answers, but {1}")]
    Unexpected(Server, String),
}

impl Reason for TransactionError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Journal(error) => error.reason(),
            Self::File(FileError::ReadOnly { .. }) => "ConfigReadOnly",
            Self::File(error) if error.is_full() => error.reason(),
            Self::File(_) => "WriteFailed",
            Self::Root(error) => error.reason(),
            Self::Control(error) => error.reason(),
            Self::ForeignEdit(_) => "ConfigChanged",
            Self::NotReady(..) => "ContainerdNotReady",
            Self::Unexpected(..) => "HandlerNotServed",
        }
    }
}

/// How a found transaction was brought to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// It was finished.
    Committed,
    /// It was undone.
    Undone,
}

impl Engine<'_> {
    /// Runs a transaction from its beginning.
    pub fn run(&mut self, mut transaction: Transaction) -> Result<(), Failure> {
        self.steps.enter("journal");
        let opened = self
            .journal
            .write_transaction(&transaction)
            .map_err(TransactionError::from);
        let guarded = opened.and_then(|()| {
            self.steps.enter("recovery unit");
            self.control.arm_recovery(&transaction)?;
            self.steps.enter("watchdog");
            Ok(self.control.start_watchdog(&transaction)?)
        });
        if let Err(error) = guarded {
            // Nothing of the node's containerd was touched yet.
            let closed = self.journal.close().map_err(TransactionError::from);
            let closed = closed.and_then(|()| Ok(self.control.disarm_recovery()?));
            return Err(Failure::refused(closed.as_ref().err().unwrap_or(&error)));
        }
        match self.apply(&mut transaction) {
            Ok(()) => self.finish(transaction),
            Err(error) => Err(self.undo(transaction, &error)),
        }
    }

    /// Ends whatever an earlier run left open.
    pub fn recover(&mut self) -> Result<Option<Recovered>, Failure> {
        let found = self
            .journal
            .open_transaction()
            .map_err(|error| Failure::failed(&error))?;
        let Some(transaction) = found else {
            // A run that was killed after it closed its transaction.
            let disarmed = self.control.disarm_recovery();
            return disarmed
                .map(|()| None)
                .map_err(|error| Failure::failed(&error));
        };
        self.begin_recovery(&transaction);
        if matches!(transaction.stage, Stage::Applied | Stage::Proven)
            && self.is_applied(&transaction)
        {
            return match self.finish(transaction) {
                Ok(()) => Ok(Some(Recovered::Committed)),
                Err(failure) if failure.outcome == Outcome::RolledBack => {
                    Ok(Some(Recovered::Undone))
                }
                Err(failure) => Err(failure),
            };
        }
        let server = transaction.daemon.server();
        let interrupted =
            TransactionError::NotReady(server, "an earlier run was interrupted".to_owned());
        let failure = self.undo(transaction, &interrupted);
        if failure.outcome == Outcome::RolledBack {
            Ok(Some(Recovered::Undone))
        } else {
            Err(failure)
        }
    }

    /// Ends what was left open when the machine stopped, while its containerd is not running yet: back to the bytes with
    /// which it last ran, unless it was proven with the new ones. Restarts and proves nothing.
    ///
    /// # Errors
    /// When files cannot be read or written; the transaction then stays open for the next run.
    pub fn recover_at_boot(&mut self) -> Result<Option<Recovered>, Failure> {
        let found = self
            .journal
            .open_transaction()
            .map_err(|error| Failure::failed(&error))?;
        let Some(mut transaction) = found else {
            return Ok(None);
        };
        self.begin_recovery(&transaction);
        let ended = if transaction.stage == Stage::Proven {
            self.commit(&transaction).map(|()| Recovered::Committed)
        } else {
            self.put_back(&mut transaction)
                .and_then(|()| self.close_undone(&transaction))
                .map(|()| Recovered::Undone)
        };
        ended.map(Some).map_err(|error| Failure::failed(&error))
    }

    fn begin_recovery(&mut self, transaction: &Transaction) {
        tracing::warn!(
            "the transaction {} was left open at {:?}",
            transaction.id,
            transaction.stage
        );
        self.steps.enter("recover");
        for change in &transaction.changes {
            let room = transaction.daemon.waiting_room(&change.path);
            files::sweep(&self.root.local(room));
        }
    }

    /// Restarts, proves and commits a transaction whose files are written.
    fn finish(&mut self, mut transaction: Transaction) -> Result<(), Failure> {
        if let Err(error) = self.prove(&transaction) {
            return Err(self.undo(transaction, &error));
        }
        transaction.stage = Stage::Proven;
        self.steps.enter("proven");
        self.journal
            .write_transaction(&transaction)
            .map_err(|error| Failure::failed(&error))?;
        self.steps.enter("commit");
        self.commit(&transaction)
            .map_err(|error| Failure::failed(&error))
    }

    fn prove(&mut self, transaction: &Transaction) -> Result<(), TransactionError> {
        let restarts = self.restart_needed(transaction)?;
        if restarts {
            self.restart(transaction)?;
        }
        self.steps.enter("verify");
        match self.wait_until_ready(transaction, &transaction.expect) {
            // Times do not tell of a file that somebody else took away, or put back as old as it was. What containerd
            // serves does: it has not read the files as they are.
            Err(TransactionError::Unexpected(..)) if !restarts => {
                self.restart(transaction)?;
                self.steps.enter("verify");
                self.wait_until_ready(transaction, &transaction.expect)
            }
            proven => proven,
        }
    }

    fn commit(&mut self, transaction: &Transaction) -> Result<(), TransactionError> {
        match &transaction.goal {
            Some(goal) => self.journal.write_installed(goal)?,
            None => {
                self.remove_folders(&transaction.created_folders)?;
                self.journal.remove_installed()?;
            }
        }
        self.steps.enter("close");
        self.close(transaction)
    }

    /// Nothing is open any more, and nothing waits to undo it.
    fn close(&mut self, transaction: &Transaction) -> Result<(), TransactionError> {
        self.journal.close()?;
        self.control.disarm_recovery()?;
        self.control.stop_watchdog(transaction)?;
        Ok(self.journal.prune()?)
    }

    fn restart(&mut self, transaction: &Transaction) -> Result<(), TransactionError> {
        let server = transaction.daemon.server();
        self.steps.enter("restart");
        self.restarted = true;
        self.control.restart().map_err(|error| match error {
            // The unit's own words say more than the job's result.
            ControlError::Job { .. } => {
                TransactionError::NotReady(server, self.control.last_words())
            }
            other => other.into(),
        })
    }

    /// Waits until containerd answers and says what it must.
    fn wait_until_ready(
        &mut self,
        transaction: &Transaction,
        expect: &Expectation,
    ) -> Result<(), TransactionError> {
        let server = transaction.daemon.server();
        let deadline = Instant::now() + self.ready_timeout;
        loop {
            let health = self.control.health()?;
            match health {
                Health::Ready { runtimes } => return check(server, expect, &runtimes),
                Health::Failed => {
                    return Err(TransactionError::NotReady(
                        server,
                        self.control.last_words(),
                    ));
                }
                Health::Starting(_) if Instant::now() < deadline => std::thread::sleep(POLL),
                Health::Starting(why) => {
                    let words = self.control.last_words();
                    return Err(TransactionError::NotReady(
                        server,
                        format!("{why}; {words}"),
                    ));
                }
            }
        }
    }
}

fn check(
    server: Server,
    expect: &Expectation,
    runtimes: &std::collections::BTreeMap<String, String>,
) -> Result<(), TransactionError> {
    for (handler, wanted) in &expect.present {
        match runtimes.get(handler) {
            Some(found) if found == wanted => {}
            Some(found) => {
                let what = format!("its handler {handler} is {found:?}, not {wanted:?}");
                return Err(TransactionError::Unexpected(server, what));
            }
            None => {
                let what = format!("without the handler {handler}");
                return Err(TransactionError::Unexpected(server, what));
            }
        }
    }
    match expect
        .absent
        .iter()
        .find(|handler| runtimes.contains_key(*handler))
    {
        None => Ok(()),
        Some(handler) => Err(TransactionError::Unexpected(
            server,
            format!("still with the handler {handler}"),
        )),
    }
}

/// The time, in microseconds since the epoch, as systemd counts.
pub fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The error and its causes.
fn sentence(error: &TransactionError) -> String {
    chain(error)
}
