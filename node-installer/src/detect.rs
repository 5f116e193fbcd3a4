//! Finds the containerd that serves this node's kubelet: CRI socket, process, command line, unit.

pub mod distribution;
pub mod endpoint;
pub mod find;
pub mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::containerd::document::{self, DocumentError};
use crate::containerd::dump;
use crate::containerd::imports;
use crate::containerd::layout::{Layout, LayoutError};
use crate::containerd::version::Version;
use crate::cri::{Cri, CriError, CriStatus};
use crate::crio;
use crate::failure::Reason;
use crate::host::command::{self, CommandError};
use crate::host::files::{self, FileError, MAX_CONFIG_BYTES};
use crate::host::{HostRoot, root::RootError};
use distribution::Distribution;
use find::Found;
use server::Server;

/// containerd's default state folder.
const DEFAULT_STATE: &str = "/run/containerd";

/// The folder of MicroK8s' snap in which also a strictly confined one finds programs of others (kwasm-installer#19).
const SNAP_COMMON: &str = "/var/snap/microk8s/common";

/// What says how the snap is confined.
const SNAP: &str = "/snap/microk8s/current/meta/snap.yaml";

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
    /// Who makes its configuration.
    pub distribution: Distribution,
    /// How its root file comes about.
    pub layout: Layout,
    /// What its CRI says.
    pub status: CriStatus,
    /// Whether the node's cgroup driver is systemd.
    pub systemd_cgroup: bool,
}

/// Why the node is not one to work on.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// No socket answers.
    #[error("no CRI server that root runs answers on {tried}: is containerd running?")]
    NotFound {
        /// The sockets.
        tried: String,
    },
    /// Another runtime.
    #[error(
        "the kubelet uses {endpoint}, which is served by {name}: only containerd and CRI-O are supported"
    )]
    OtherRuntime {
        /// The socket.
        endpoint: PathBuf,
        /// The process.
        name: String,
    },
    /// Several runtimes, and nobody says which one counts.
    #[error(
        "{found} both serve CRI, and no kubelet says which it uses: set containerRuntimeEndpoint in its configuration, or stop the other"
    )]
    Ambiguous {
        /// Processes and sockets.
        found: String,
    },
    /// A command line that cannot be repeated.
    #[error(
        "the CRI server (process {pid}) runs with the configuration {path:?}, whose name is not UTF-8: rename it"
    )]
    Encoding {
        /// The process.
        pid: u32,
        /// As far as it can be read.
        path: PathBuf,
    },
    /// The CRI is switched off, which Docker's packages do.
    #[error(
        "{path} switches the CRI off (disabled_plugins has {plugin:?}): take it out there and restart {unit}"
    )]
    CriDisabled {
        /// The file.
        path: PathBuf,
        /// The plugin.
        plugin: String,
        /// The unit.
        unit: String,
    },
    /// A snap that runs nothing from elsewhere.
    #[error(
        "MicroK8s is strictly confined and runs no programs from {install_root}: use an install root below {SNAP_COMMON}"
    )]
    Confined {
        /// Where the binaries should have gone.
        install_root: PathBuf,
    },
    /// The root file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nor as text.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It is not as its distribution writes it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Not systemd.
    #[error(
        "the CRI server (process {pid}) is supervised by {found}: only a systemd service is supported"
    )]
    Supervisor {
        /// The process.
        pid: u32,
        /// PID 1, or the lack of a unit.
        found: String,
    },
    /// The binary cannot be found.
    #[error("cannot tell the binary of the CRI server (process {0})")]
    NoBinary(u32),
    /// A binary that others than root can change.
    #[error(
        "{binary}, the CRI server's binary, {why}, and the installer would run it as root: chown root:root it, and chmod go-w"
    )]
    Untrusted {
        /// The binary.
        binary: PathBuf,
        /// In words.
        why: String,
    },
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
    #[error("the CRI does not answer on {socket}")]
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
            Self::Ambiguous { .. } => "ContainerdAmbiguous",
            Self::Encoding { .. } => "ConfigUnparsable",
            Self::CriDisabled { .. } => "CriDisabled",
            Self::Confined { .. } => "InstallRootConfined",
            Self::File(error) => error.reason(),
            Self::Document(error) => error.reason(),
            Self::Layout(error) => error.reason(),
            Self::Supervisor { .. } => "SupervisorUnsupported",
            Self::Untrusted { .. } => "ContainerdUntrusted",
            Self::NoVersion { .. } | Self::VersionUnsupported(_) => "VersionUnsupported",
            Self::Command(error) => error.reason(),
            Self::Root(error) => error.reason(),
            Self::Cri { source, .. } => source.reason(),
        }
    }
}

/// Finds it.
pub fn detect(runtime: &Runtime, root: &HostRoot) -> Result<Daemon, DetectError> {
    let found = find::serving(root)?;
    if found.distribution != Distribution::CriO && found.name != "containerd" {
        return Err(DetectError::OtherRuntime {
            endpoint: found.socket,
            name: found.name,
        });
    }
    let config = found.config(root)?;
    let unit = found.unit(root)?;
    let binary = found.binary(root)?;
    let output = command::run(runtime, root, &binary, &["--version"], VERSION_LIMIT)?;
    let is_crio = found.distribution == Distribution::CriO;
    let version = if is_crio {
        crio::daemon::version(&output.stdout)
    } else {
        Version::parse(&output.stdout)
    };
    let version = version.ok_or_else(|| DetectError::NoVersion {
        binary: binary.clone(),
        output: output.stdout.trim().to_owned(),
    })?;
    // A CRI-O that does not say its runtimes over CRI is too old, and fails there.
    if !is_crio && !version.is_supported() {
        return Err(DetectError::VersionUnsupported(version));
    }
    let text = match files::read(&root.locate(&config)?, MAX_CONFIG_BYTES)? {
        Some((bytes, _)) => Some(document::decode(&config, bytes)?),
        None => None,
    };
    let layout = if is_crio {
        Layout::DropIns(found.drop_ins(root)?)
    } else {
        Layout::of(found.distribution, version, &config, text.as_deref())?
    };

    let cri = Cri::new(runtime, root, &found.socket);
    let no_cri = |source| no_cri(root, &found, &config, &unit, source);
    let status = cri.status().map_err(no_cri)?;
    // The built-in default of the option is false.
    let driver = cri.systemd_cgroup().map_err(no_cri)?;
    let systemd_cgroup = driver.or(status.systemd_cgroup).unwrap_or(false);
    Ok(Daemon {
        state: flag(&found.arguments, &["--state"]),
        distribution: found.distribution,
        socket: found.socket,
        config,
        binary,
        unit,
        version,
        layout,
        status,
        systemd_cgroup,
    })
}

/// Why its CRI does not answer: most often because a file says that it shall not.
fn no_cri(
    root: &HostRoot,
    found: &Found,
    config: &Path,
    unit: &str,
    source: CriError,
) -> DetectError {
    let sources = match found.distribution {
        Distribution::CriO => Vec::new(),
        _ => imports::load(root, config).unwrap_or_default(),
    };
    let disabling = sources.into_iter().find_map(|source| {
        let plugin = dump::disabled_cri_in(&source.text)?;
        Some((source.path, plugin))
    });
    match disabling {
        Some((path, plugin)) => DetectError::CriDisabled {
            path,
            plugin,
            unit: unit.to_owned(),
        },
        None => DetectError::Cri {
            socket: found.socket.clone(),
            source,
        },
    }
}

/// Refuses an install root from which this distribution's containerd could run nothing.
///
/// # Errors
/// With a strictly confined MicroK8s.
pub fn check_install_root(
    root: &HostRoot,
    distribution: Distribution,
    install_root: &Path,
) -> Result<(), DetectError> {
    if distribution != Distribution::MicroK8s || install_root.starts_with(SNAP_COMMON) {
        return Ok(());
    }
    let snap = files::read(&root.locate(Path::new(SNAP))?, MAX_CONFIG_BYTES)?;
    let strict = snap.is_some_and(|(bytes, _)| {
        String::from_utf8_lossy(&bytes)
            .lines()
            .any(|line| line.trim_end() == "confinement: strict")
    });
    if strict {
        return Err(DetectError::Confined {
            install_root: install_root.to_owned(),
        });
    }
    Ok(())
}

impl Daemon {
    /// Which program it is.
    pub fn server(&self) -> Server {
        Server::of(self.layout.drop_ins())
    }

    /// Where it keeps the state of tasks: command line before file before default.
    pub fn state_folder(&self, configured: Option<&Path>) -> PathBuf {
        self.state
            .clone()
            .or_else(|| configured.map(Path::to_owned))
            .unwrap_or_else(|| PathBuf::from(DEFAULT_STATE))
    }
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
