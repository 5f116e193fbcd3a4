//! The process that serves the kubelet's CRI socket, and what the host says about it. Runs nothing and asks it nothing.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::distribution::{self, Distribution};
use super::endpoint::{self, Candidates};
use super::{DetectError, flag};
use crate::crio::daemon;
use crate::host::{HostRoot, process};

/// containerd's default root file (`defaults.DefaultConfigDir`).
const DEFAULT_CONFIG: &str = "/etc/containerd/config.toml";

/// The short name of CRI-O.
const CRIO: &str = "crio";

/// What a lossy reading of a command line leaves of bytes that are no text.
const REPLACED: char = '\u{fffd}';

/// A process that serves a CRI socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The socket, a host path.
    pub socket: PathBuf,
    /// Its number on the host.
    pub pid: u32,
    /// Its short name.
    pub name: String,
    /// Its command line.
    pub arguments: Vec<String>,
    /// Its executable as a host path; `None` if that cannot be read.
    pub executable: Option<PathBuf>,
    /// Who makes its configuration.
    pub distribution: Distribution,
}

/// The process that serves the kubelet.
///
/// A host may run several servers of CRI: Docker brings a containerd of its own beside that of K3s. What the kubelet
/// names decides. Where it names nothing (it is part of another program), a distribution's own containerd comes before
/// one of nobody's, and anything else is not guessed.
pub fn serving(root: &HostRoot) -> Result<Found, DetectError> {
    let candidates = endpoint::candidates(root);
    let mut found: Vec<Found> = candidates
        .sockets()
        .iter()
        .filter_map(|socket| at(root, socket))
        .collect();
    if found.len() > 1 && matches!(candidates, Candidates::Usual(_)) {
        let theirs = |found: &Found| {
            !matches!(
                found.distribution,
                Distribution::Generic | Distribution::CriO
            )
        };
        if found.iter().filter(|found| theirs(found)).count() == 1 {
            found.retain(theirs);
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(DetectError::NotFound {
            tried: candidates
                .sockets()
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        }),
        _ => Err(DetectError::Ambiguous {
            found: found
                .iter()
                .map(|found| {
                    format!(
                        "{} (process {}) on {}",
                        found.name,
                        found.pid,
                        found.socket.display()
                    )
                })
                .collect::<Vec<_>>()
                .join(" and "),
        }),
    }
}

fn at(root: &HostRoot, socket: &Path) -> Option<Found> {
    let pid = process::owner_of_socket(root, socket)?;
    let name = process::name(root, pid).unwrap_or_default();
    let arguments = process::arguments(root, pid);
    let executable = process::executable(root, pid).map(|(path, _)| path);
    Some(Found {
        distribution: if name == CRIO {
            Distribution::CriO
        } else {
            distribution::of(socket, executable.as_deref(), &arguments)
        },
        socket: socket.to_owned(),
        pid,
        name,
        arguments,
        executable,
    })
}

/// Refuses a program into which somebody other than root could have written: it is run as root.
fn refuse_untrusted(root: &HostRoot, binary: &Path) -> Result<(), DetectError> {
    let Ok(meta) = root.locate(binary)?.metadata() else {
        // To run it says better what is wrong.
        return Ok(());
    };
    // Who runs this is root on a node, and anybody in a test.
    let trusted = [0, rustix::process::geteuid().as_raw()];
    let why = if !trusted.contains(&meta.uid()) {
        format!("belongs to the user {}", meta.uid())
    } else if meta.mode() & 0o022 != 0 {
        "can be written to by others than its owner".to_owned()
    } else {
        return Ok(());
    };
    Err(DetectError::Untrusted {
        binary: binary.to_owned(),
        why,
    })
}

impl Found {
    /// Its root file, as its command line names it.
    pub fn config(&self, root: &HostRoot) -> Result<PathBuf, DetectError> {
        let named = if self.distribution == Distribution::CriO {
            daemon::config(&self.arguments, &process::environment(root, self.pid))
        } else {
            flag(&self.arguments, &["--config", "-c"])
                .unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG))
        };
        self.absolute(root, named)
    }

    /// CRI-O's folder of drop-ins.
    pub fn drop_ins(&self, root: &HostRoot) -> Result<PathBuf, DetectError> {
        let named = daemon::folder(&self.arguments, &process::environment(root, self.pid));
        self.absolute(root, named)
    }

    fn absolute(&self, root: &HostRoot, named: PathBuf) -> Result<PathBuf, DetectError> {
        if named.to_string_lossy().contains(REPLACED) {
            return Err(DetectError::Encoding {
                pid: self.pid,
                path: named,
            });
        }
        if named.is_absolute() {
            return Ok(named);
        }
        // A service's folder is `/` unless its unit says otherwise.
        let folder = process::current_folder(root, self.pid).unwrap_or_else(|| PathBuf::from("/"));
        Ok(folder.join(named))
    }

    /// What a restart will run: after an upgrade of the package the running file is gone, and the one of its name is
    /// meant. K3s is one program of many names, of which only `containerd` is a containerd.
    pub fn binary(&self, root: &HostRoot) -> Result<PathBuf, DetectError> {
        let executable = self
            .executable
            .as_ref()
            .ok_or(DetectError::NoBinary(self.pid))?;
        let named = executable.with_file_name(match self.distribution {
            Distribution::CriO => CRIO,
            _ => "containerd",
        });
        let exists = root.locate(&named).is_ok_and(|local| local.exists());
        let binary = if exists { named } else { executable.clone() };
        refuse_untrusted(root, &binary)?;
        Ok(binary)
    }

    /// Its systemd unit.
    pub fn unit(&self, root: &HostRoot) -> Result<String, DetectError> {
        let init = process::name(root, 1).unwrap_or_else(|| "an unknown init".to_owned());
        if init != "systemd" {
            return Err(DetectError::Supervisor {
                pid: self.pid,
                found: init,
            });
        }
        process::unit(root, self.pid).ok_or_else(|| DetectError::Supervisor {
            pid: self.pid,
            found: "no systemd service (it was started by hand)".to_owned(),
        })
    }
}
