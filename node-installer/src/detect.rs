//! Finds the containerd that serves this node's kubelet: CRI socket, process, command line, unit.

pub mod distribution;
pub mod endpoint;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::containerd::version::Version;
use crate::cri::{Cri, CriError, CriStatus};
use crate::failure::Reason;
use crate::host::command::{self, CommandError};
use crate::host::{HostRoot, process, root::RootError};
use distribution::Distribution;

/// containerd's default root file (`defaults.DefaultConfigDir`).
const DEFAULT_CONFIG: &str = "/etc/containerd/config.toml";

/// containerd's default state folder.
const DEFAULT_STATE: &str = "/run/containerd";

const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// The containerd of a node.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Its CRI socket, a host path.
    pub socket: PathBuf,
    /// Its binary, a host path.
    pub binary: PathBuf,
    /// Its root file, a host path, as its command line names it.
    pub config: PathBuf,
    /// Where it keeps the state of tasks, if its command line says so.
    pub state: Option<PathBuf>,
    /// Its systemd unit.
    pub unit: String,
    /// Its version.
    pub version: Version,
    /// What its CRI says.
    pub status: CriStatus,
    /// Whether the node's cgroup driver is systemd.
    pub systemd_cgroup: bool,
}

/// Why the node is not one to work on.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// No socket answers.
    #[error("no containerd answers on {tried}: is it running?")]
    NotFound {
        /// The sockets.
        tried: String,
    },
    /// Another runtime.
    #[error("the kubelet uses {endpoint}, which is served by {name}: only containerd is supported")]
    OtherRuntime {
        /// The socket.
        endpoint: PathBuf,
        /// The process.
        name: String,
    },
    /// A distribution that keeps its configuration elsewhere.
    #[error("this containerd belongs to {distribution} ({evidence}), which is not supported yet")]
    Distribution {
        /// Its name.
        distribution: &'static str,
        /// What gave it away.
        evidence: String,
    },
    /// Not systemd.
    #[error(
        "containerd (process {pid}) is supervised by {found}: only a systemd service is supported"
    )]
    Supervisor {
        /// The process.
        pid: u32,
        /// PID 1, or the lack of a unit.
        found: String,
    },
    /// The binary cannot be found.
    #[error("cannot tell the binary of containerd (process {0})")]
    NoBinary(u32),
    /// Unknown version.
    #[error("{binary} --version printed {output:?}, which names no version")]
    NoVersion {
        /// The binary.
        binary: PathBuf,
        /// What it said.
        output: String,
    },
    /// A version we do not know.
    #[error("containerd {0} is not supported: 1.6 to 2.x are")]
    VersionUnsupported(Version),
    /// It could not be run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The path of the host.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Its CRI does not answer.
    #[error("containerd's CRI does not answer on {socket}")]
    Cri {
        /// The socket.
        socket: PathBuf,
        /// The cause.
        #[source]
        source: CriError,
    },
}

impl Reason for DetectError {
    fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::NoBinary(_) => "ContainerdNotFound",
            Self::OtherRuntime { .. } => "RuntimeUnsupported",
            Self::Distribution { .. } => "DistributionUnsupported",
            Self::Supervisor { .. } => "SupervisorUnsupported",
            Self::NoVersion { .. } | Self::VersionUnsupported(_) => "VersionUnsupported",
            Self::Command(error) => error.reason(),
            Self::Root(error) => error.reason(),
            Self::Cri { source, .. } => source.reason(),
        }
    }
}

/// Finds it.
pub fn detect(runtime: &Runtime, root: &HostRoot) -> Result<Daemon, DetectError> {
    let candidates = endpoint::candidates(root);
    let owner = |socket: &PathBuf| Some((socket.clone(), process::owner_of_socket(root, socket)?));
    let (socket, pid) = candidates
        .iter()
        .find_map(owner)
        .ok_or_else(|| DetectError::NotFound {
            tried: candidates
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        })?;

    let arguments = process::arguments(root, pid);
    let executable = process::executable(root, pid);
    let (distribution, evidence) = distribution::of(&socket, executable.as_ref(), &arguments);
    if distribution != Distribution::Generic {
        return Err(DetectError::Distribution {
            distribution: distribution.name(),
            evidence,
        });
    }
    let name = process::name(root, pid).unwrap_or_default();
    if name != "containerd" {
        return Err(DetectError::OtherRuntime {
            endpoint: socket,
            name,
        });
    }
    let unit = unit(root, pid)?;
    // After an upgrade of the package the running file is gone, and the one of its name is what a restart will run.
    let binary = executable
        .map(|(path, _)| path)
        .ok_or(DetectError::NoBinary(pid))?;
    let output = command::run(runtime, root, &binary, &["--version"], VERSION_LIMIT)?;
    let version = Version::parse(&output.stdout).ok_or_else(|| DetectError::NoVersion {
        binary: binary.clone(),
        output: output.stdout.trim().to_owned(),
    })?;
    if !version.is_supported() {
        return Err(DetectError::VersionUnsupported(version));
    }

    let cri = Cri::new(runtime, root, &socket);
    let no_cri = |source| DetectError::Cri {
        socket: socket.clone(),
        source,
    };
    let status = cri.status().map_err(no_cri)?;
    // The built-in default of the option is false.
    let driver = cri.systemd_cgroup().map_err(no_cri)?;
    let systemd_cgroup = driver.or(status.systemd_cgroup).unwrap_or(false);
    Ok(Daemon {
        config: flag(&arguments, &["--config", "-c"])
            .unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG)),
        state: flag(&arguments, &["--state"]),
        socket,
        binary,
        unit,
        version,
        status,
        systemd_cgroup,
    })
}

impl Daemon {
    /// Where it keeps the state of tasks: command line before file before default.
    pub fn state_folder(&self, configured: Option<&Path>) -> PathBuf {
        self.state
            .clone()
            .or_else(|| configured.map(Path::to_owned))
            .unwrap_or_else(|| PathBuf::from(DEFAULT_STATE))
    }
}

fn unit(root: &HostRoot, pid: u32) -> Result<String, DetectError> {
    let init = process::name(root, 1).unwrap_or_else(|| "an unknown init".to_owned());
    if init != "systemd" {
        return Err(DetectError::Supervisor { pid, found: init });
    }
    process::unit(root, pid).ok_or_else(|| DetectError::Supervisor {
        pid,
        found: "no systemd service (it was started by hand)".to_owned(),
    })
}

/// The value of a flag, in the forms Go's flag parsers take: `--flag value`, `--flag=value`, `-flag=value`.
pub(crate) fn flag(arguments: &[String], names: &[&str]) -> Option<PathBuf> {
    let mut found = None;
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        for name in names {
            let dashes = argument.len() - argument.trim_start_matches('-').len();
            if dashes == 0 || dashes > 2 {
                continue;
            }
            let bare = argument.trim_start_matches('-');
            let name = name.trim_start_matches('-');
            if bare == name {
                found = rest.next().cloned();
                break;
            } else if let Some(value) = bare
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('='))
            {
                found = Some(value.to_owned());
                break;
            }
        }
    }
    found.filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&["containerd"], None)]
    #[case(&["containerd", "--config", "/a"], Some("/a"))]
    #[case(&["containerd", "--config=/a", "-c", "/b"], Some("/b"))]
    #[case(&["containerd", "-config=/a"], Some("/a"))]
    #[case(&["containerd", "--configuration=/a", "--config="], None)]
    fn flags_are_read_as_go_reads_them(#[case] words: &[&str], #[case] expected: Option<&str>) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(
            flag(&words, &["--config", "-c"]),
            expected.map(PathBuf::from)
        );
    }
}
