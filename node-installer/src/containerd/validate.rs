//! Asks the host's own containerd what it makes of a configuration, before anything is written for good.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};
use tokio::runtime::Runtime;

use super::document::DocumentError;
use super::dump::Dump;
use super::handler::Handler;
use super::imports::ImportError;
use super::rewrite::{self, RewriteError};
use crate::crio;
use crate::detect::server::Server;
use crate::failure::Reason;
use crate::host::command::{self, CommandError};
use crate::host::files::{self, FileError};
use crate::host::{HostRoot, root::RootError};

const LIMIT: Duration = Duration::from_secs(30);

/// The host's containerd as a judge.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'r> {
    /// To wait on.
    pub runtime: &'r Runtime,
    /// The host.
    pub root: &'r HostRoot,
    /// The binary that serves this node, a host path.
    pub binary: &'r Path,
    /// The root file, a host path.
    pub config: &'r Path,
    /// CRI-O's folder of drop-ins, a host path; `None` if it is a containerd.
    pub drop_ins: Option<&'r Path>,
}

/// Why a configuration was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// containerd could not be run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A candidate could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its folder.
    #[error(transparent)]
    Root(#[from] RootError),
    /// A candidate could not be made.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// CRI-O's files cannot be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// containerd's output does not parse.
    #[error(transparent)]
    Output(#[from] DocumentError),
    /// containerd does not load what is there.
    #[error("{server} does not accept {path}: {words}")]
    Current {
        /// Which.
        server: Server,
        /// The root file.
        path: PathBuf,
        /// containerd's words.
        words: String,
    },
    /// containerd does not load what would be there.
    #[error("{server} would not accept the change to {path}: {words}")]
    Candidate {
        /// Which.
        server: Server,
        /// The root file.
        path: PathBuf,
        /// containerd's words.
        words: String,
    },
    /// It loads, and the handler is not in it.
    #[error("the handler {handler} would not be seen with the change to {path}")]
    HandlerMissing {
        /// The handler.
        handler: String,
        /// The root file.
        path: PathBuf,
    },
    /// It loads, and pulls images as before.
    #[error("containerd would not take use_local_image_pull with the change to {0}")]
    LocalPullMissing(PathBuf),
    /// It loads, and something else is different.
    #[error("the change to {path} would also change the handler {handler}")]
    OthersChanged {
        /// The handler.
        handler: String,
        /// The root file.
        path: PathBuf,
    },
}

impl Reason for ValidateError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Command(error) => error.reason(),
            Self::File(error) if error.is_full() => error.reason(),
            Self::File(FileError::Io { .. }) => "ConfigReadOnly",
            Self::File(error) => error.reason(),
            Self::Root(error) => error.reason(),
            Self::Rewrite(error) => error.reason(),
            Self::Import(error) => error.reason(),
            Self::Output(_) => "HostCommandFailed",
            Self::Current { .. } => "ConfigUnparsable",
            Self::Candidate { .. }
            | Self::HandlerMissing { .. }
            | Self::LocalPullMissing(_)
            | Self::OthersChanged { .. } => "ValidationFailed",
        }
    }
}

impl Judge<'_> {
    /// What containerd makes of the files as they are; built-in defaults if there is no root file.
    pub fn current(&self) -> Result<Dump, ValidateError> {
        if let Some(folder) = self.drop_ins {
            return crio::judge::dump(self, folder, &[]);
        }
        if self.root.locate(self.config)?.exists() {
            return self
                .dump(self.config)
                .map_err(|error| self.blame(error, false));
        }
        let empty = self.candidate("")?;
        self.dump(&self.host_path(empty.path()))
            .map_err(|error| self.blame(error, false))
    }

    /// What containerd would make of changed files: each a host path and its text, `None` if it is to go.
    pub fn with_changes(
        &self,
        changes: &[(PathBuf, Option<String>)],
    ) -> Result<Dump, ValidateError> {
        if let Some(folder) = self.drop_ins {
            return crio::judge::dump(self, folder, changes)
                .map_err(|error| self.blame(error, true));
        }
        let changed = |path: &Path| {
            changes
                .iter()
                .find(|(changed, _)| changed == path)
                .map(|(_, text)| text.clone())
        };
        let root_text = match changed(self.config) {
            Some(text) => text.unwrap_or_default(),
            None => match files::read(&self.root.locate(self.config)?, files::MAX_CONFIG_BYTES)? {
                Some((bytes, _)) => super::document::decode(self.config, bytes)?,
                None => String::new(),
            },
        };
        // Other files cannot be in place yet, so a candidate of each is imported last, where it overrides (2.x) or
        // replaces (1.x) the one on disk.
        let mut others = Vec::new();
        let mut root_candidate = root_text;
        for (_, text) in changes.iter().filter(|(path, _)| path != self.config) {
            if let Some(text) = text {
                let file = self.candidate(text)?;
                root_candidate = rewrite::add_import(
                    self.config,
                    &root_candidate,
                    &self.host_path(file.path()).to_string_lossy(),
                )?;
                others.push(file);
            }
        }
        let file = self.candidate(&root_candidate)?;
        self.dump(&self.host_path(file.path()))
            .map_err(|error| self.blame(error, true))
    }

    /// A temporary file beside the root file, because imports are relative to it.
    fn candidate(&self, text: &str) -> Result<NamedTempFile, ValidateError> {
        let folder = self.beside()?;
        let make = || {
            let mut file = temporary().tempfile_in(&folder)?;
            file.write_all(text.as_bytes())?;
            Ok(file)
        };
        Ok(make().map_err(files::io_error("create a file in", &folder))?)
    }

    /// A temporary folder beside the root file.
    pub(crate) fn folder(&self) -> Result<TempDir, ValidateError> {
        let folder = self.beside()?;
        let made = temporary().tempdir_in(&folder);
        Ok(made.map_err(files::io_error("create a folder in", &folder))?)
    }

    fn beside(&self) -> Result<PathBuf, ValidateError> {
        let folder = self
            .root
            .locate(self.config.parent().unwrap_or(Path::new("/")))?;
        let there = folder.ancestors().find(|folder| folder.is_dir());
        Ok(there.unwrap_or(self.root.base()).to_owned())
    }

    /// A candidate as the host names it. Its folder is the root file's own, under the name containerd uses.
    pub(crate) fn host_path(&self, local: &Path) -> PathBuf {
        Path::new("/").join(local.strip_prefix(self.root.base()).unwrap_or(local))
    }

    fn dump(&self, config: &Path) -> Result<Dump, ValidateError> {
        self.run(&["--config", &config.to_string_lossy(), "config", "dump"])
    }

    /// What the binary prints with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Dump, ValidateError> {
        let output = command::run(self.runtime, self.root, self.binary, arguments, LIMIT)?;
        if !output.success {
            let words = output.last_words();
            return Err(ValidateError::Current {
                server: Server::of(self.drop_ins),
                path: self.config.to_owned(),
                words,
            });
        }
        Ok(Dump::parse(&output.stdout)?)
    }

    fn blame(&self, error: ValidateError, candidate: bool) -> ValidateError {
        match error {
            ValidateError::Current {
                server,
                path,
                words,
            } if candidate => ValidateError::Candidate {
                server,
                path,
                words,
            },
            other => other,
        }
    }
}

fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".slipway-").suffix(".tmp");
    builder
}

/// Whether a change does what it should and nothing else. `ours` are handlers that may differ although their shim is
/// not below the install root.
pub fn compare(
    config: &Path,
    before: &Dump,
    after: &Dump,
    handlers: &[Handler],
    ours: &BTreeSet<&str>,
    install_root: &Path,
) -> Result<(), ValidateError> {
    for handler in handlers {
        if after
            .runtimes
            .get(&handler.name)
            .is_none_or(|runtime| Path::new(&runtime.runtime_type) != handler.shim)
        {
            return Err(ValidateError::HandlerMissing {
                handler: handler.name.clone(),
                path: config.to_owned(),
            });
        }
    }
    let (before, after) = (before.foreign(install_root), after.foreign(install_root));
    let changed = before
        .iter()
        .chain(after.iter())
        .map(|(name, _)| *name)
        .filter(|name| !ours.contains(name.as_str()))
        .find(|name| before.get(name) != after.get(name));
    match changed {
        None => Ok(()),
        Some(handler) => Err(ValidateError::OthersChanged {
            handler: handler.clone(),
            path: config.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::dump::Runtime;
    use super::*;

    fn dump(runtimes: &[(&str, &str)]) -> Dump {
        let runtimes = runtimes.iter().map(|(name, kind)| {
            (
                (*name).to_owned(),
                Runtime {
                    runtime_type: (*kind).to_owned(),
                    ..Default::default()
                },
            )
        });
        Dump {
            runtimes: runtimes.collect(),
            ..Default::default()
        }
    }

    #[test]
    fn the_handler_must_be_there_and_the_others_unchanged() {
        let check = |before: &Dump, after: &Dump| {
            compare(
                Path::new("/c"),
                before,
                after,
                &[Handler::plain(
                    "wasmtime",
                    Path::new("/opt/slipway/new/shim"),
                )],
                &BTreeSet::from(["adopted"]),
                Path::new("/opt/slipway"),
            )
        };
        let before = dump(&[("runc", "runc.v2"), ("wasmtime", "/opt/slipway/old/shim")]);
        let good = dump(&[("runc", "runc.v2"), ("wasmtime", "/opt/slipway/new/shim")]);
        assert!(check(&before, &good).is_ok());
        let adopted = dump(&[
            ("runc", "runc.v2"),
            ("wasmtime", "/opt/slipway/new/shim"),
            ("adopted", "/usr/bin/x"),
        ]);
        assert!(check(&before, &adopted).is_ok());
        assert!(matches!(
            check(&before, &before),
            Err(ValidateError::HandlerMissing { .. })
        ));
        let lost = dump(&[("wasmtime", "/opt/slipway/new/shim")]);
        assert!(
            matches!(check(&before, &lost), Err(ValidateError::OthersChanged { handler, .. }) if handler == "runc")
        );
    }
}
