//! What installs and uninstalls have in common: a configuration that is planned for all shims of the node, judged by
//! the host's containerd, and brought about by a transaction.

use std::path::{Path, PathBuf};

use super::session::{Session, daemon_record};
use crate::configuration::{Configuration, Node, Wish};
use crate::containerd::dump::Dump;
use crate::detect::Daemon;
use crate::failure::Failure;
use crate::host::{files, process};
use crate::journal::{DaemonRecord, Installed};
use crate::report::{Report, Steps as _};
use crate::transaction::Control as _;

/// A node as it was found.
pub(super) struct Found<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) daemon: Daemon,
    pub(super) record: DaemonRecord,
    pub(super) install_root: PathBuf,
    pub(super) installed: Option<Installed>,
    pub(super) dump: Dump,
}

impl<'a> Found<'a> {
    /// Finds containerd and asks it what it makes of its configuration.
    pub(super) fn on(
        session: &'a Session<'a>,
        installed: Option<Installed>,
        install_root: PathBuf,
        report: &mut Report,
    ) -> Result<Self, Failure> {
        let daemon = session.detect(report)?;
        if let Some(containerd) = &mut report.containerd {
            containerd.method = installed.as_ref().and_then(|installed| installed.method);
        }
        let dump = session.current_dump(&daemon)?;
        Ok(Self {
            record: daemon_record(&daemon),
            session,
            daemon,
            install_root,
            installed,
            dump,
        })
    }

    pub(super) fn node(&self) -> Node<'_> {
        Node {
            root: &self.session.root,
            journal: &self.session.journal,
            daemon: &self.record,
            version: self.daemon.version,
            layout: &self.daemon.layout,
            install_root: &self.install_root,
            installed: self.installed.as_ref(),
        }
    }

    /// Where containerd keeps its bundles.
    pub(super) fn state(&self) -> PathBuf {
        self.daemon.state_folder(self.dump.state.as_deref())
    }

    /// Plans, and lets the host's containerd judge.
    pub(super) fn configure(
        &self,
        wish: Wish,
        report: &mut Report,
    ) -> Result<Configuration, Failure> {
        report.enter("plan");
        let configuration = Configuration::of(&self.node(), wish)?;
        report.enter("validate");
        let after = self
            .session
            .judge(&self.daemon)
            .with_changes(&configuration.candidates())
            .map_err(|error| Failure::refused(&error))?;
        configuration
            .check(&self.node(), &self.dump, &after)
            .map_err(|error| Failure::refused(&error))?;
        for target in configuration.targets.iter().filter(|t| t.is_change()) {
            files::check_replaceable(&self.session.root.local(&target.resolved))
                .map_err(|error| Failure::refused(&error))?;
        }
        Ok(configuration)
    }

    /// What will stand on the node.
    pub(super) fn goal(
        &self,
        configuration: &Configuration,
        placed_folders: &[PathBuf],
    ) -> Result<Option<Installed>, Failure> {
        let boot = process::boot_id(&self.session.root);
        configuration.goal(&self.node(), placed_folders, boot)
    }

    /// Whether nothing is to be done: every byte is as it should be, the journal says so, and the running containerd
    /// has read it.
    pub(super) fn is_settled(
        &self,
        configuration: &Configuration,
        goal: Option<&Installed>,
    ) -> Result<bool, Failure> {
        let recorded = match (&self.installed, goal) {
            (None, None) => true,
            (Some(installed), Some(goal)) => {
                let known = Installed {
                    verified_boot: goal.verified_boot.clone(),
                    ..installed.clone()
                };
                known == *goal
            }
            _ => false,
        };
        if !recorded || configuration.is_change() || !self.is_served(configuration) {
            return Ok(false);
        }
        if configuration.targets.is_empty() {
            return Ok(true);
        }
        let mut control = self.session.control(self.record.clone(), PathBuf::new());
        let active_since = control
            .active_since_us()
            .map_err(|error| Failure::refused(&error))?;
        Ok(active_since.is_some_and(|active_since| {
            configuration.targets.iter().all(|target| {
                let local = self.session.root.local(&target.resolved);
                let modified = crate::transaction::modified_us(&local);
                modified.is_some_and(|modified| modified < active_since)
            })
        }))
    }

    /// Whether the running containerd offers what it should.
    fn is_served(&self, configuration: &Configuration) -> bool {
        let runtimes = &self.daemon.status.runtimes;
        let expected = configuration.expectation(&self.node()).present;
        expected
            .iter()
            .all(|(handler, kind)| runtimes.get(handler) == Some(kind))
    }

    /// Whether the node's containerd has nothing to do with it: no file of it is or was ours.
    pub(super) fn is_bare(&self, configuration: &Configuration) -> bool {
        let method = self
            .installed
            .as_ref()
            .and_then(|installed| installed.method);
        method.is_none() && !configuration.is_change() && configuration.targets.is_empty()
    }

    /// Makes it so: by a transaction, or, if containerd has nothing to do with it, in the journal alone.
    pub(super) fn settle(
        &self,
        operation: &str,
        configuration: &Configuration,
        goal: Option<Installed>,
        watchdog: &str,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let journal = &self.session.journal;
        if self.is_bare(configuration) {
            let written = match &goal {
                Some(goal) => journal.write_installed(goal),
                None => journal.remove_installed(),
            };
            written.map_err(|error| Failure::failed(&error))?;
            return journal.prune().map_err(|error| Failure::failed(&error));
        }
        let node = self.node();
        let created = match &goal {
            Some(_) => configuration.missing_folders(&node),
            // They go with the last of us.
            None => self
                .installed
                .as_ref()
                .map(|installed| installed.created_folders.clone())
                .unwrap_or_default(),
        };
        let mut transaction = self.session.transaction(
            operation,
            &self.daemon,
            configuration.changes(&node)?,
            configuration.expectation(&node),
            goal,
            watchdog,
        );
        transaction.install_root.clone_from(&self.install_root);
        transaction.created_folders = created;
        self.session.transact(transaction, report)
    }

    /// A payload whose folder can hold the watchdog's binary when the operation has none of its own.
    pub(super) fn any_digest(&self) -> String {
        let installed = self.installed.iter();
        let mut digests = installed.flat_map(Installed::digests);
        digests
            .next()
            .cloned()
            .unwrap_or_else(|| crate::digest::of_bytes(b"slipway-watchdog"))
    }

    /// Whether a handler's table is ours.
    pub(super) fn is_ours(&self, handler: &str, runtime_type: &str) -> bool {
        let kind = Path::new(runtime_type);
        let adopted = self.installed.as_ref();
        kind.starts_with(&self.install_root)
            || adopted
                .and_then(|installed| installed.additions.adopted.get(handler))
                .is_some_and(|shim| shim == kind)
    }
}
