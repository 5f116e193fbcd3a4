//! The files that every container of a pod has: `/etc/hostname`, `/etc/hosts`, `/etc/resolv.conf` and `/dev/shm`.
//!
//! CRI mounts them into containers from its own directories if they are there, and makes them only for pause containers
//! (`setupSandboxFiles` in `internal/cri/server/podsandbox/sandbox_run_linux.go`, containerd 2.4). It removes those of
//! pods it made no container for whenever it starts, so they are made again before the next container.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::Config;
use crate::api::cri::DnsConfig;

/// The directory of containerd's CRI plugin, in its state and its root directory.
const CRI: &str = "io.containerd.grpc.v1.cri/sandboxes";

/// A file that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// A bundle that is not where containerd has those of sandboxes.
    #[error(
        "bundle {0}: expected <state>/io.containerd.sandbox.controller.v1.shim/<namespace>/<id>"
    )]
    Bundle(PathBuf),
    /// What could not be made.
    #[error("{path}: {source}")]
    Make {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where a pod's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// For hostname, hosts and resolv.conf.
    kept: PathBuf,
    /// For the shared memory.
    volatile: PathBuf,
}

impl Files {
    /// The files of the sandbox in a bundle, whose `work` leads into containerd's root directory.
    ///
    /// # Errors
    /// [`FilesError::Bundle`] for a bundle of anything else.
    pub fn of(bundle: &Path) -> Result<Self, FilesError> {
        let wrong = || FilesError::Bundle(bundle.to_owned());
        let id = bundle.file_name().ok_or_else(wrong)?;
        let within = |bundle: &Path| -> Option<PathBuf> {
            let plugin = bundle.parent()?.parent()?;
            let name = plugin.file_name()?.to_str()?;
            let is_sandboxs = name.starts_with("io.containerd.sandbox.controller");
            Some(plugin.parent()?.join(CRI).join(id)).filter(|_| is_sandboxs)
        };
        let work = std::fs::read_link(bundle.join("work")).map_err(|_| wrong())?;
        Ok(Self {
            kept: within(&work).ok_or_else(wrong)?,
            volatile: within(bundle).ok_or_else(wrong)?,
        })
    }

    /// Makes what is missing.
    ///
    /// # Errors
    /// [`FilesError::Make`], naming the file.
    pub fn make(&self, config: &Config, nodes_hostname: &str) -> Result<(), FilesError> {
        let hostname = match config.pod.hostname.as_str() {
            "" => nodes_hostname,
            hostname => hostname,
        };
        directory(&self.kept, 0o755)?;
        put(&self.kept.join("hostname"), || {
            Ok(format!("{hostname}\n").into_bytes())
        })?;
        put(&self.kept.join("hosts"), || std::fs::read("/etc/hosts"))?;
        put(&self.kept.join("resolv.conf"), || {
            match &config.pod.dns_config {
                Some(dns) => Ok(resolv_conf(dns).into_bytes()),
                None => std::fs::read("/etc/resolv.conf"),
            }
        })?;
        if config.has_nodes_ipc() {
            return Ok(());
        }
        let shm = self.volatile.join("shm");
        if is_mounted(&shm) {
            return Ok(());
        }
        directory(&shm, 0o700)?;
        let flags = MountFlags::NOEXEC | MountFlags::NOSUID | MountFlags::NODEV;
        mount("shm", &shm, "tmpfs", flags, c"mode=1777,size=67108864").map_err(|error| {
            FilesError::Make {
                path: shm,
                source: error.into(),
            }
        })
    }

    /// Removes them all; what is gone already is no error.
    ///
    /// # Errors
    /// [`FilesError::Make`] with what cannot be removed.
    pub fn remove(&self) -> Result<(), FilesError> {
        let shm = self.volatile.join("shm");
        match unmount(&shm, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(Errno::NOENT | Errno::INVAL) => {}
            Err(error) => {
                return Err(FilesError::Make {
                    path: shm,
                    source: error.into(),
                });
            }
        }
        for path in [&self.volatile, &self.kept] {
            match std::fs::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FilesError::Make {
                        path: path.clone(),
                        source: error,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether something is mounted at a path: it is then on another device than its parent.
fn is_mounted(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::symlink_metadata(path).map(|metadata| metadata.dev());
    match (device(path), path.parent().map(device)) {
        (Ok(own), Some(Ok(parent))) => own != parent,
        _ => false,
    }
}

fn directory(path: &Path, mode: u32) -> Result<(), FilesError> {
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| FilesError::Make {
            path: path.to_owned(),
            source,
        })
}

/// Writes a file, unless there is one: containers of the pod may have it mounted.
fn put(path: &Path, content: impl FnOnce() -> io::Result<Vec<u8>>) -> Result<(), FilesError> {
    if path.exists() {
        return Ok(());
    }
    content()
        .and_then(|content| std::fs::write(path, content))
        .map_err(|source| FilesError::Make {
            path: path.to_owned(),
            source,
        })
}

/// `parseDNSOptions` of CRI: resolv.conf(5).
fn resolv_conf(dns: &DnsConfig) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text += &format!("search {}\n", dns.searches.join(" "));
    }
    for server in &dns.servers {
        text += &format!("nameserver {server}\n");
    }
    if !dns.options.is_empty() {
        text += &format!("options {}\n", dns.options.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::cri::PodSandboxConfig;

    #[test]
    fn they_are_made_once_and_removed_with_the_pod() {
        let node = tempfile::tempdir().unwrap();
        let plugin = "io.containerd.sandbox.controller.v1.shim/k8s.io/abc";
        let (state, root) = (node.path().join("state"), node.path().join("root"));
        let bundle = state.join(plugin);
        std::fs::create_dir_all(&bundle).unwrap();
        std::os::unix::fs::symlink(root.join(plugin), bundle.join("work")).unwrap();
        let files = Files::of(&bundle).unwrap();
        let mut config = Config::read(None, "").unwrap();
        config.pod = PodSandboxConfig {
            dns_config: Some(DnsConfig {
                servers: vec!["10.0.0.1".into(), "10.0.0.2".into()],
                searches: vec!["a.svc".into(), "svc".into()],
                options: vec!["ndots:5".into()],
            }),
            ..PodSandboxConfig::default()
        };
        for _ in 0..2 {
            files.make(&config, "node-1").unwrap();
        }
        let kept = root.join(CRI).join("abc");
        let text = |name: &str| std::fs::read_to_string(kept.join(name)).unwrap();
        assert_eq!(text("hostname"), "node-1\n");
        assert_eq!(
            text("resolv.conf"),
            "search a.svc svc\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:5\n"
        );
        let shm = state.join(CRI).join("abc").join("shm");
        assert!(is_mounted(&shm));
        for _ in 0..2 {
            files.remove().unwrap();
            assert!(!shm.exists() && !kept.exists());
        }
    }

    #[test]
    fn a_bundle_of_a_container_has_none() {
        let bundle = Path::new("/run/containerd/io.containerd.runtime.v2.task/k8s.io/abc");
        assert!(Files::of(bundle).is_err());
    }
}
