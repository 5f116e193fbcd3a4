//! Writing a transaction's files, and whether containerd has read them.

use std::path::PathBuf;

use super::{Engine, TransactionError};
use crate::digest;
use crate::host::files::{self, MAX_CONFIG_BYTES};
use crate::journal::{Change, DaemonRecord, Snapshot, Stage, Transaction};

/// What a changed file holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Current {
    /// The bytes before.
    Before,
    /// The bytes after.
    After,
    /// Somebody else's.
    Foreign(Vec<u8>),
}

impl Engine<'_> {
    /// Writes the files.
    pub(super) fn apply(&mut self, transaction: &mut Transaction) -> Result<(), TransactionError> {
        for change in &transaction.changes {
            self.steps
                .enter(&format!("write {}", change.path.display()));
            match self.current(change)? {
                Current::After => {}
                Current::Before => {
                    self.put(&transaction.daemon, change, change.after.as_ref())?;
                }
                Current::Foreign(_) => {
                    return Err(TransactionError::ForeignEdit(change.path.clone()));
                }
            }
        }
        transaction.stage = Stage::Applied;
        self.steps.enter("applied");
        Ok(self.journal.write_transaction(transaction)?)
    }

    /// Whether every file holds its new bytes.
    pub(super) fn is_applied(&self, transaction: &Transaction) -> bool {
        transaction
            .changes
            .iter()
            .all(|change| matches!(self.current(change), Ok(Current::After)))
    }

    /// What a file holds. Bytes that are the same before and after count as after: there is nothing to do.
    pub(super) fn current(&self, change: &Change) -> Result<Current, TransactionError> {
        let read = files::read(&self.root.local(&change.path), MAX_CONFIG_BYTES)?;
        let sha256 = read.as_ref().map(|(bytes, _)| digest::of_bytes(bytes));
        let is = |snapshot: &Option<Snapshot>| {
            snapshot.as_ref().map(|s| s.sha256.as_str()) == sha256.as_deref()
        };
        Ok(if is(&change.after) {
            Current::After
        } else if is(&change.before) {
            Current::Before
        } else {
            Current::Foreign(read.map(|(bytes, _)| bytes).unwrap_or_default())
        })
    }

    /// Makes a file hold a snapshot, or makes it go.
    pub(super) fn put(
        &self,
        daemon: &DaemonRecord,
        change: &Change,
        snapshot: Option<&Snapshot>,
    ) -> Result<(), TransactionError> {
        let path = self.root.local(&change.path);
        match snapshot {
            None => files::remove(&path)?,
            Some(snapshot) => {
                let bytes = self.journal.bytes(snapshot)?;
                if let Some(folder) = path.parent() {
                    files::create_folders(folder)?;
                }
                let room = daemon.waiting_room(&path);
                files::write_through(room, &path, &bytes, &snapshot.attributes)?;
            }
        }
        Ok(())
    }

    /// Whether containerd may not have read the files as they are. It has only if its unit became active after the
    /// newest of them was written; a file that was removed leaves no time behind, so its removal always counts.
    pub(super) fn restart_needed(
        &mut self,
        transaction: &Transaction,
    ) -> Result<bool, TransactionError> {
        let Some(active_since) = self.control.active_since_us()? else {
            return Ok(true);
        };
        if transaction
            .changes
            .iter()
            .any(|change| change.after.is_none())
        {
            return Ok(active_since <= transaction.opened_us);
        }
        let changed = transaction.changes.iter().map(|change| &change.path);
        // Until the commit the journal has what stood there before: a file of which nothing of ours is left to take out may
        // have come back only now.
        let before = self.journal.installed()?;
        let managed = transaction
            .goal
            .iter()
            .chain(&before)
            .flat_map(|installed| installed.files.iter().map(|file| &file.path));
        let paths: Vec<PathBuf> = changed
            .chain(managed)
            .map(|path| self.root.local(path))
            .collect();
        Ok(paths
            .iter()
            .filter_map(|path| modified_us(path))
            .any(|modified| modified >= active_since))
    }

    /// Removes folders that were made for us and are empty again.
    pub(super) fn remove_folders(&self, folders: &[PathBuf]) -> Result<(), TransactionError> {
        for folder in folders.iter().rev() {
            files::remove_folder_if_empty(&self.root.entry(folder)?)?;
        }
        Ok(())
    }
}

/// When a file was last written, in microseconds since the epoch.
pub(crate) fn modified_us(path: &std::path::Path) -> Option<u64> {
    let modified = path.metadata().ok()?.modified().ok()?;
    let since = modified
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .ok()?;
    u64::try_from(since.as_micros()).ok()
}
