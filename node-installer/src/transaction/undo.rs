//! The way back: the bytes of before, a restart if containerd has seen the others, and a proof that it answers.

use super::change::Current;
use super::{Engine, TransactionError, sentence};
use crate::containerd::rewrite;
use crate::failure::{Failure, Reason as _};
use crate::host::files::{self, MAX_CONFIG_BYTES};
use crate::journal::{Change, Expectation, Stage, Transaction};
use crate::report::Outcome;

impl Engine<'_> {
    /// Undoes a transaction because of an error, and says how that went.
    pub(super) fn undo(&mut self, transaction: Transaction, cause: &TransactionError) -> Failure {
        let (reason, why) = (cause.reason(), sentence(cause));
        let server = transaction.daemon.server();
        tracing::warn!("rolling back: {why}");
        match self.try_undo(transaction) {
            Ok(()) => Failure {
                outcome: Outcome::RolledBack,
                reason,
                message: format!("{why}; the node was put back as it was and {server} answers"),
            },
            // The journal stays open and the watchdog keeps running: it tries again when this process is gone.
            Err(error) => Failure {
                outcome: Outcome::Failed,
                reason: "RollbackFailed",
                message: format!("{why}; putting the node back failed: {}", sentence(&error)),
            },
        }
    }

    fn try_undo(&mut self, mut transaction: Transaction) -> Result<(), TransactionError> {
        self.put_back(&mut transaction)?;
        let read_since = match self.control.active_since_us()? {
            Some(active_since) => active_since > transaction.opened_us,
            None => true,
        };
        if read_since {
            self.restart(&transaction)?;
        }
        self.steps.enter("verify");
        self.wait_until_ready(&transaction, &Expectation::default())?;
        self.close_undone(&transaction)
    }

    /// Gives the files their old bytes.
    pub(super) fn put_back(
        &mut self,
        transaction: &mut Transaction,
    ) -> Result<(), TransactionError> {
        self.steps.enter("roll back");
        // Before the first byte goes back, so that a run killed in here is not taken for one that went forward.
        transaction.stage = Stage::RollingBack;
        self.journal.write_transaction(transaction)?;
        for change in transaction.changes.iter().rev() {
            self.steps
                .enter(&format!("restore {}", change.path.display()));
            match self.current(change)? {
                Current::Before => {}
                Current::After => {
                    self.put(&transaction.daemon, change, change.before.as_ref())?;
                }
                Current::Foreign(bytes) => self.withdraw(transaction, change, bytes)?,
            }
        }
        Ok(())
    }

    /// Closes a transaction whose files are as before.
    pub(super) fn close_undone(
        &mut self,
        transaction: &Transaction,
    ) -> Result<(), TransactionError> {
        self.steps.enter("close");
        if transaction.operation == "install" {
            self.remove_folders(&transaction.created_folders)?;
        }
        self.close(transaction)
    }

    /// Takes our tables out of a file that somebody else edited meanwhile. What they wrote stays, even if it is not
    /// TOML at all: then there is nothing of ours that can be told apart.
    fn withdraw(
        &self,
        transaction: &Transaction,
        change: &Change,
        bytes: Vec<u8>,
    ) -> Result<(), TransactionError> {
        let additions = transaction
            .goal
            .as_ref()
            .map(|goal| goal.additions.clone())
            .unwrap_or_default();
        let Ok(text) = String::from_utf8(bytes) else {
            return Ok(());
        };
        let Ok(without) =
            rewrite::withdraw(&change.path, &text, &transaction.install_root, &additions)
        else {
            tracing::warn!(
                "{} was changed by somebody else and cannot be read: left as it is",
                change.path.display()
            );
            return Ok(());
        };
        if without != text {
            let path = self.root.local(&change.path);
            if let Some((_, attributes)) = files::read(&path, MAX_CONFIG_BYTES)? {
                let room = transaction.daemon.waiting_room(&path);
                files::write_through(room, &path, without.as_bytes(), &attributes)?;
            }
        }
        Ok(())
    }
}
