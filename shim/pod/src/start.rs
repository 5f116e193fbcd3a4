//! `start`: becomes the shim of a pod, or finds the one it has.
//!
//! containerd calls it for each container. The first of a pod binds the pod's socket and forks; the child is the
//! shim. containerd reads standard output and standard error together as the answer, so nothing else is printed.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use slipway_shim_cgroup::CgroupsPath;
use slipway_shim_spec::{PidNamespace, Spec};

use crate::args::{Flags, is_identifier};
use crate::bootstrap::{self, Bootstrap, MAX_INPUT, Reply};
use crate::containerd::Containerd;
use crate::events::Publisher;
use crate::log::Log;
use crate::pod::Pod;
use crate::programs::Programs;
use crate::record;
use crate::signals::Signals;
use crate::socket::{self, Socket, SocketError};
use crate::spawn::{self, Birth};

/// A shim that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Standard input.
    #[error("reading standard input: {0}")]
    Input(#[source] io::Error),
    /// More options than anybody writes.
    #[error("standard input: more than {MAX_INPUT} bytes")]
    InputTooLong,
    /// The bundle.
    #[error("bundle {path}: {source}")]
    Bundle {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The process.
    #[error("becoming a process of its own: {0}")]
    Fork(#[source] io::Error),
}

/// Starts or finds the shim of the container in the current directory, and returns what to print.
///
/// # Errors
/// [`StartError`], with nothing left behind.
pub fn start(flags: &Flags) -> Result<String, StartError> {
    let input = read_input(io::stdin().lock())?;
    let mut bootstrap = bootstrap::read(
        &input,
        flags,
        std::env::var("TTRPC_ADDRESS").ok().as_deref(),
    );
    let bundle = std::env::current_dir().map_err(|source| StartError::Bundle {
        path: ".".into(),
        source,
    })?;
    if !bundle.join("config.json").exists() {
        // A sandbox, which only containerd 2 makes.
        bootstrap.reply = Reply::Version3;
    }
    // One that cannot be read is of a pod of its own: `Create` will say what is wrong with it.
    let spec = Spec::load(&bundle).ok();
    let group = spec.as_ref().and_then(group);
    let group = group.unwrap_or_else(|| flags.id.clone());
    let path = socket::path(
        &bootstrap.socket_dir,
        &flags.address,
        &flags.namespace,
        &group,
    )?;
    let address = socket::address(&path);
    let socket = socket::take(&path)?;
    let written =
        record::write_atomically(&bundle, "address", address.as_bytes()).map_err(|source| {
            StartError::Bundle {
                path: bundle.clone(),
                source,
            }
        });
    if let Socket::Ours(listener) = socket {
        let started = written.and_then(|()| {
            let birth = Birth {
                pid_namespace: &PidNamespace::Host,
                cgroup: None,
            };
            let mut handed = Some((listener, spec));
            spawn::fork(birth, || {
                if let Some((listener, spec)) = handed.take() {
                    let bootstrap = bootstrap.clone();
                    serve(flags, bootstrap, &bundle, spec, &group, &path, listener);
                }
                // SAFETY: ends this process without running what its parent registered for its own end.
                unsafe { libc::_exit(0) }
            })
            .map_err(StartError::Fork)
        });
        if let Err(error) = started {
            // Nobody will serve it.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
    } else {
        written?;
    }
    Ok(bootstrap.reply.render(&address))
}

/// What containerd writes on standard input, within bounds.
pub(crate) fn read_input(input: impl Read) -> Result<Vec<u8>, StartError> {
    let mut bytes = Vec::new();
    input
        .take(MAX_INPUT as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(StartError::Input)?;
    if bytes.len() > MAX_INPUT {
        return Err(StartError::InputTooLong);
    }
    Ok(bytes)
}

/// The pod that a bundle belongs to.
fn group(spec: &Spec) -> Option<String> {
    let id = spec.sandbox_id()?;
    is_identifier(id).then(|| id.to_owned())
}

/// The life of the shim.
fn serve(
    flags: &Flags,
    bootstrap: Bootstrap,
    bundle: &Path,
    spec: Option<Spec>,
    group: &str,
    socket: &str,
    listener: OwnedFd,
) {
    let log = Log::new(bundle, group, bootstrap.debug);
    let last_words = log.clone();
    std::panic::set_hook(Box::new(move |panic| last_words.error("", panic)));
    if let Err(error) = detach(listener.as_raw_fd()) {
        log.warn("", format_args!("detaching from containerd: {error}"));
    }
    let prepared = Signals::block().and_then(|signals| Ok((signals, Programs::find()?)));
    match prepared {
        Ok((signals, programs)) => {
            let publisher = Publisher::new(
                bootstrap.events_address,
                flags.namespace.clone(),
                log.clone(),
            );
            let containerd = Containerd {
                address: bootstrap.address,
                namespace: flags.namespace.clone(),
            };
            let mut pod = Pod::new(log, signals, listener, publisher, programs, containerd);
            if let Some(spec) = spec {
                pod.expect_container(is_systemds(&spec));
            }
            pod.run();
        }
        Err(error) => log.error("", error),
    }
    // Nobody serves it any more, and the next shim of its name would have to find that out.
    let _ = std::fs::remove_file(socket);
}

/// Whether the cgroup of a container is one of systemd's scopes.
fn is_systemds(spec: &Spec) -> bool {
    let path = spec.cgroups_path().and_then(|path| path.to_str());
    let path = path.map(CgroupsPath::parse);
    matches!(path, Some(Ok(CgroupsPath::Systemd(_))))
}

/// Leaves containerd's session, descriptors and place in the queue of the OOM killer.
fn detach(listener: i32) -> io::Result<()> {
    spawn::close_all_but(listener);
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for descriptor in 0..3 {
        // SAFETY: plain system call; 0, 1 and 2 are nobody's but the standard streams'.
        if unsafe { libc::dup2(null.as_raw_fd(), descriptor) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    rustix::process::setsid()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    raise_oom_score()
}

/// The shim goes before containerd does (`AdjustOOMScore` in `pkg/shim/util_unix.go`, containerd 2.4).
fn raise_oom_score() -> io::Result<()> {
    const PATH: &str = "/proc/self/oom_score_adj";
    let inherited: i32 = std::fs::read_to_string(PATH)?
        .trim()
        .parse()
        .map_err(io::Error::other)?;
    std::fs::write(PATH, (inherited + 1).min(1000).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_belongs_to_its_sandbox_and_anything_else_to_itself() {
        let bundle = tempfile::tempdir().unwrap();
        let group_of = |annotations: &str| {
            let json = format!(r#"{{"ociVersion":"1.1.0","annotations":{{{annotations}}}}}"#);
            std::fs::write(bundle.path().join("config.json"), json).unwrap();
            group(&Spec::load(bundle.path()).unwrap())
        };
        let id = r#""io.kubernetes.cri.sandbox-id""#;
        assert_eq!(
            group_of(&format!(r#"{id}:"pod1""#)).as_deref(),
            Some("pod1")
        );
        assert_eq!(group_of(&format!(r#"{id}:"../etc""#)), None);
        assert_eq!(group_of(""), None);
    }

    #[test]
    fn endless_input_is_refused() {
        assert!(matches!(
            read_input(io::repeat(b'x')),
            Err(StartError::InputTooLong)
        ));
    }
}
