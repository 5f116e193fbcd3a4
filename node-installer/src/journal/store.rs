//! The journal on disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::{Installed, Snapshot, Transaction, VERSION};
use super::upgrade;
use crate::digest;
use crate::failure::Reason;
use crate::host::files::{self, Attributes, FileError, MAX_CONFIG_BYTES, io_error};
use crate::host::{HostRoot, root::RootError};

/// Everything of ours on the node that is neither binary nor configuration.
pub const STATE: &str = "/var/lib/slipway";

/// The shim's compiled code, which goes with it.
const CACHE: &str = "cache";

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The path of the host.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Not what we wrote.
    #[error("the journal {path} is damaged: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In words.
        why: String,
    },
    /// A later installer's.
    #[error(
        "the journal {path} is of version {found}, and this installer knows version {VERSION}: use a newer one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

impl Reason for JournalError {
    fn reason(&self) -> &'static str {
        match self {
            Self::File(error) if error.is_full() => error.reason(),
            Self::File(_) | Self::Root(_) => "JournalUnavailable",
            Self::Damaged { .. } => "JournalDamaged",
            Self::Newer { .. } => "JournalNewer",
        }
    }
}

/// The journal of a node.
#[derive(Debug, Clone)]
pub struct Journal {
    state: PathBuf,
    folder: PathBuf,
}

impl Journal {
    /// The journal of the node; nothing is made until something is written.
    pub fn of(root: &HostRoot) -> Result<Self, JournalError> {
        let state = root.locate(Path::new(STATE))?;
        Ok(Self {
            folder: state.join("journal"),
            state,
        })
    }

    /// The transaction under way.
    pub fn open_transaction(&self) -> Result<Option<Transaction>, JournalError> {
        self.read("open.json")
    }

    /// Writes the transaction under way.
    pub fn write_transaction(&self, transaction: &Transaction) -> Result<(), JournalError> {
        self.write("open.json", transaction)
    }

    /// What stands on the node.
    pub fn installed(&self) -> Result<Option<Installed>, JournalError> {
        self.read("installed.json")
    }

    /// Writes what stands on the node.
    pub fn write_installed(&self, installed: &Installed) -> Result<(), JournalError> {
        self.write("installed.json", installed)
    }

    /// Forgets what stands on the node.
    pub fn remove_installed(&self) -> Result<(), JournalError> {
        Ok(files::remove(&self.folder.join("installed.json"))?)
    }

    /// Closes the transaction: done or undone.
    pub fn close(&self) -> Result<(), JournalError> {
        Ok(files::remove(&self.folder.join("open.json"))?)
    }

    /// Keeps bytes, and names them.
    pub fn keep(&self, bytes: &[u8], attributes: Attributes) -> Result<Snapshot, JournalError> {
        let folder = self.folder.join("blobs");
        files::create_folders(&folder)?;
        let sha256 = digest::of_bytes(bytes);
        files::write_atomic(
            &folder.join(&sha256),
            bytes,
            &Attributes {
                mode: 0o600,
                ..Attributes::ours()
            },
        )?;
        Ok(Snapshot { sha256, attributes })
    }

    /// The bytes of a snapshot.
    pub fn bytes(&self, snapshot: &Snapshot) -> Result<Vec<u8>, JournalError> {
        let path = self.folder.join("blobs").join(&snapshot.sha256);
        let damaged = |why: &str| JournalError::Damaged {
            path: path.clone(),
            why: why.to_owned(),
        };
        let (bytes, _) =
            files::read(&path, MAX_CONFIG_BYTES)?.ok_or_else(|| damaged("it is missing"))?;
        if digest::of_bytes(&bytes) == snapshot.sha256 {
            Ok(bytes)
        } else {
            Err(damaged("its digest is wrong"))
        }
    }

    /// Removes bytes no record speaks of, and what a killed run left.
    pub fn prune(&self) -> Result<(), JournalError> {
        let mut used = BTreeSet::new();
        if let Some(transaction) = self.open_transaction()? {
            used.extend(
                transaction
                    .changes
                    .iter()
                    .flat_map(|change| [&change.before, &change.after])
                    .flatten()
                    .map(name),
            );
            used.extend(transaction.goal.iter().flat_map(managed));
        }
        used.extend(self.installed()?.iter().flat_map(managed));
        let folder = self.folder.join("blobs");
        files::sweep(&self.folder);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !used.contains(entry.file_name().to_string_lossy().as_ref()) {
                files::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes the journal, if nothing stands on the node and nothing is under way.
    pub fn remove_if_unused(&self) -> Result<(), JournalError> {
        self.remove_unused(&[&self.folder])
    }

    /// Removes the journal and the shim's compiled code, if nothing stands on the node and nothing is under way.
    pub fn remove_state_if_unused(&self) -> Result<(), JournalError> {
        self.remove_unused(&[&self.folder, &self.state.join(CACHE)])
    }

    fn remove_unused(&self, folders: &[&Path]) -> Result<(), JournalError> {
        if self.open_transaction()?.is_some() || self.installed()?.is_some() || !self.state.exists()
        {
            return Ok(());
        }
        for folder in folders {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io_error("remove", folder)(error).into());
                }
                _ => {}
            }
        }
        Ok(files::remove_folder_if_empty(&self.state)?)
    }

    fn read<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, JournalError> {
        let path = self.folder.join(file);
        let Some((bytes, _)) = files::read(&path, MAX_CONFIG_BYTES)? else {
            return Ok(None);
        };
        let damaged = |error: serde_json::Error| JournalError::Damaged {
            path: path.clone(),
            why: error.to_string(),
        };
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(damaged)?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(found) if found > u64::from(VERSION) => Err(JournalError::Newer { path, found }),
            _ => {
                let record = upgrade::upgraded(value).and_then(serde_json::from_value);
                Ok(Some(record.map_err(damaged)?))
            }
        }
    }

    fn write(&self, file: &str, record: &impl Serialize) -> Result<(), JournalError> {
        files::create_folders(&self.folder)?;
        let path = self.folder.join(file);
        let bytes = serde_json::to_vec_pretty(record).map_err(|error| JournalError::Damaged {
            path: path.clone(),
            why: error.to_string(),
        })?;
        Ok(files::write_atomic(
            &path,
            &bytes,
            &Attributes {
                mode: 0o600,
                ..Attributes::ours()
            },
        )?)
    }
}

fn name(snapshot: &Snapshot) -> String {
    snapshot.sha256.clone()
}

fn managed(installed: &Installed) -> Vec<String> {
    installed
        .files
        .iter()
        .flat_map(|file| file.base.iter().chain([&file.ours]))
        .map(name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> (tempfile::TempDir, Journal) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("var/lib")).unwrap();
        let journal = Journal::of(&HostRoot::new(dir.path()).unwrap()).unwrap();
        (dir, journal)
    }

    #[test]
    fn bytes_come_back_exactly_or_as_an_error() {
        let (dir, journal) = journal();
        let snapshot = journal.keep(b"\xff\0bytes", Attributes::ours()).unwrap();
        assert_eq!(journal.bytes(&snapshot).unwrap(), b"\xff\0bytes");
        let blob = dir
            .path()
            .join("var/lib/slipway/journal/blobs")
            .join(&snapshot.sha256);
        fs::write(&blob, "other").unwrap();
        assert!(matches!(
            journal.bytes(&snapshot),
            Err(JournalError::Damaged { .. })
        ));
        journal.prune().unwrap();
        assert!(!blob.exists(), "no record speaks of it");
    }

    #[test]
    fn a_damaged_or_newer_journal_is_no_empty_one() {
        let (dir, journal) = journal();
        assert!(journal.installed().unwrap().is_none());
        let folder = dir.path().join("var/lib/slipway/journal");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("installed.json"), "{").unwrap();
        assert!(matches!(
            journal.installed(),
            Err(JournalError::Damaged { .. })
        ));
        fs::write(folder.join("installed.json"), "{\"version\":3}").unwrap();
        assert!(matches!(
            journal.installed(),
            Err(JournalError::Newer { found: 3, .. })
        ));
    }

    #[test]
    fn an_unused_journal_goes_without_a_trace_and_foreign_files_stay() {
        let (dir, journal) = journal();
        journal.keep(b"x", Attributes::ours()).unwrap();
        fs::create_dir_all(dir.path().join("var/lib/slipway/cache/key")).unwrap();
        journal.remove_if_unused().unwrap();
        assert!(
            dir.path().join("var/lib/slipway/cache/key").exists(),
            "not the journal's"
        );
        journal.remove_state_if_unused().unwrap();
        assert!(!dir.path().join("var/lib/slipway").exists());
        journal.keep(b"x", Attributes::ours()).unwrap();
        fs::write(dir.path().join("var/lib/slipway/mine"), "").unwrap();
        journal.remove_if_unused().unwrap();
        assert!(dir.path().join("var/lib/slipway/mine").exists());
    }
}
