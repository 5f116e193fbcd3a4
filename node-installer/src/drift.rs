//! Whether a node still has what its last install put there, told from its files.
//!
//! containerd goes on with what it has read until it is restarted, and starts whatever stands at a shim's path: a
//! configuration without our tables, or a binary that is another, shows only when a pod needs it. Here it shows before.
//!
//! An edit of somebody else's that leaves our tables in place is none of our business. Of our own files the journal knows
//! what they should be, so that a watcher that comes late tells of them as well. A table that no file of ours defines and
//! that was never as it should be is not told: an install has just proven it, so it is something that files alone do not
//! show, and to tell it would have the node installed again and again.

mod binaries;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::binaries::Binaries;
use crate::containerd::imports::{self, ImportError};
use crate::containerd::{document, schema::Schema, tables};
use crate::host::HostRoot;
use crate::journal::store::JournalError;
use crate::journal::{Installed, Journal};

/// What is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The handlers that it concerns.
    pub handlers: Vec<String>,
    /// One sentence.
    pub message: String,
}

/// One look after the other at the same node.
#[derive(Debug)]
pub struct Watch<'a> {
    root: &'a HostRoot,
    journal: &'a Journal,
    known: Option<Known>,
    suspected: Option<Drift>,
}

/// What stands on the node, and what of it files have shown.
#[derive(Debug)]
struct Known {
    installed: Installed,
    /// Handlers that the files define as they should.
    defined: BTreeSet<String>,
    binaries: Binaries,
}

impl<'a> Watch<'a> {
    /// Has not looked yet.
    pub fn new(root: &'a HostRoot, journal: &'a Journal) -> Self {
        Self {
            root,
            journal,
            known: None,
            suspected: None,
        }
    }

    /// Looks; tells what two looks in a row have found gone. While a transaction is under way files are in motion, and
    /// nothing is told.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn look(&mut self) -> Result<Option<Drift>, JournalError> {
        let Some(installed) = self.at_rest()? else {
            self.known = None;
            self.suspected = None;
            return Ok(None);
        };
        if self
            .known
            .as_ref()
            .is_none_or(|known| known.installed != installed)
        {
            self.known = None;
            self.suspected = None;
        }
        let root = self.root;
        let known = self
            .known
            .get_or_insert_with(|| Known::begin(root, installed.clone()));
        let found = known.compare(root);
        // A transaction that began meanwhile.
        if self.at_rest()?.as_ref() != Some(&installed) {
            self.known = None;
            self.suspected = None;
            return Ok(None);
        }
        let seen_before = found.is_some() && found == self.suspected;
        self.suspected = found;
        Ok(self.suspected.clone().filter(|_| seen_before))
    }

    /// What stands on the node, unless it is being changed.
    fn at_rest(&self) -> Result<Option<Installed>, JournalError> {
        if self.journal.open_transaction()?.is_some() {
            return Ok(None);
        }
        self.journal.installed()
    }
}

impl Known {
    fn begin(root: &HostRoot, installed: Installed) -> Self {
        let binaries = Binaries::of(root, &installed);
        let defined = match undefined(root, &installed) {
            Ok(missing) => {
                let names = expected(&installed).into_keys();
                names.filter(|name| !missing.contains(name)).collect()
            }
            Err(error) => {
                tracing::warn!("containerd's configuration cannot be watched: {error}");
                BTreeSet::new()
            }
        };
        let names: Vec<String> = expected(&installed).into_keys().collect();
        tracing::info!("watching over {}", names.join(", "));
        Self {
            installed,
            defined,
            binaries,
        }
    }

    /// The first thing that is gone, the configuration before the binaries.
    fn compare(&mut self, root: &HostRoot) -> Option<Drift> {
        self.configuration(root)
            .or_else(|| self.binaries.changed(root, &self.installed))
    }

    fn configuration(&self, root: &HostRoot) -> Option<Drift> {
        // A file that does not parse is not read by the containerd that runs either. What it will hold, nobody knows.
        let missing = undefined(root, &self.installed).ok()?;
        let edited = self.edited(root);
        let told = |name: &String| self.defined.contains(name) || edited.is_some();
        let handlers: Vec<String> = missing.into_iter().filter(told).collect();
        if handlers.is_empty() {
            return None;
        }
        let config = self.installed.daemon.config.display();
        let what = edited.unwrap_or_else(|| format!("{config} has changed"));
        Some(Drift {
            message: format!(
                "{what}: after its next restart the container runtime would not serve {}",
                handlers.join(", ")
            ),
            handlers,
        })
    }

    /// What has become of the first of our files that is not as we wrote it. What CRI-O's files define is not read here,
    /// so of those only that one is gone.
    fn edited(&self, root: &HostRoot) -> Option<String> {
        let is_read = self.installed.daemon.drop_ins.is_none();
        self.installed.files.iter().find_map(|file| {
            let path = file.path.display();
            match std::fs::read(root.local(&file.path)) {
                Ok(bytes) => (is_read && crate::digest::of_bytes(&bytes) != file.ours.sha256)
                    .then(|| format!("{path} has changed")),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    Some(format!("{path} is gone"))
                }
                Err(_) => None,
            }
        })
    }
}

/// The handlers and the `runtime_type` each should have.
fn expected(installed: &Installed) -> BTreeMap<String, String> {
    let shims = installed.shims.values();
    let pairs = shims.flat_map(|shim| {
        let written = shim.handlers.iter().map(|handler| {
            let kind = handler.shim.to_string_lossy().into_owned();
            (handler.name.clone(), kind)
        });
        let served = shim.served.iter();
        written.chain(served.map(|(name, kind)| (name.clone(), kind.clone())))
    });
    pairs.collect()
}

/// Those that no file defines as they should be.
fn undefined(root: &HostRoot, installed: &Installed) -> Result<BTreeSet<String>, ImportError> {
    let mut missing = expected(installed);
    for source in imports::load(root, &installed.daemon.config)? {
        let document = document::parse(&source.path, &source.text)?;
        for schema in [Schema::One, Schema::Two, Schema::Split(3)] {
            let found = tables::runtimes(&document, schema);
            for (name, item) in found.iter().flat_map(|tables| tables.iter()) {
                let kind = tables::runtime_type(item);
                if missing.get(name).map(Path::new) == kind.map(Path::new) {
                    missing.remove(name);
                }
            }
        }
    }
    Ok(missing.into_keys().collect())
}
