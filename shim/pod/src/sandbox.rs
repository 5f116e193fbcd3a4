//! A pod without a pause container: containerd's Sandbox API, `sandboxer = "shim"` in the handler's configuration.
//!
//! containerd then asks the shim for what CRI otherwise makes itself: namespaces, and the files that every container of
//! the pod has. The pod process enters the namespaces, for containerd up to 2.3 names them by a process in them
//! (`/proc/<pid>/ns/…`). Only processes that are shared need a PID 1, and the sleeper is made for that.

mod config;
mod files;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::api::types::Timestamp;
use crate::log::Log;
use crate::task::Exit;
use crate::ttrpc::server::Ticket;
pub use config::{Config, ConfigError};
pub use files::{Files, FilesError};

/// The pod's sandbox.
#[derive(Debug)]
pub struct Sandbox {
    /// Its id.
    pub id: String,
    /// What containerd asked for.
    pub config: Config,
    /// The same as an OCI specification.
    pub spec: String,
    /// The files of its containers.
    pub files: Files,
    /// Where this process comes from.
    pub home: Home,
    /// When it was made.
    pub created: Timestamp,
    /// Once it is stopped.
    pub exit: Option<Exit>,
    /// Who waits for that.
    pub waiting: Vec<Ticket>,
}

impl Sandbox {
    /// Makes what is missing of the files.
    ///
    /// # Errors
    /// [`FilesError`]
    pub fn make_files(&self) -> Result<(), FilesError> {
        self.files.make(&self.config, &self.home.hostname)
    }

    /// Goes back to the node's namespaces, so that the pod's go with their last container.
    pub fn leave(&self, log: &Log) {
        if let Err(error) = self.home.enter() {
            log.warn(
                &self.id,
                format_args!("leaving the pod's namespaces: {error}"),
            );
        }
    }
}

/// The namespaces this process was born in, and their name.
#[derive(Debug)]
pub struct Home {
    namespaces: Vec<(File, LinkNameSpaceType)>,
    hostname: String,
}

impl Home {
    /// Takes note of where this process is.
    ///
    /// # Errors
    /// Without a `/proc`.
    pub fn open() -> io::Result<Self> {
        let kinds = [
            ("net", LinkNameSpaceType::Network),
            ("ipc", LinkNameSpaceType::InterProcessCommunication),
            ("uts", LinkNameSpaceType::HostNameAndNISDomainName),
        ];
        let open = |(name, kind)| Ok((File::open(format!("/proc/self/ns/{name}"))?, kind));
        let uname = rustix::system::uname();
        Ok(Self {
            namespaces: kinds.into_iter().map(open).collect::<io::Result<_>>()?,
            hostname: uname.nodename().to_string_lossy().into_owned(),
        })
    }

    fn enter(&self) -> io::Result<()> {
        for (file, kind) in &self.namespaces {
            move_into_link_name_space(file.as_fd(), Some(*kind))?;
        }
        Ok(())
    }
}
