//! The pod's socket: where it is, and whether somebody serves it already.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::ttrpc::client::Client;
use crate::ttrpc::server;

/// `sun_path` holds 108 bytes with the final zero; containerd allows 106 (`socketPathLimit`), macOS 104.
const MAX_PATH: usize = 104;

/// The socket could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// A state directory deep down.
    #[error(
        "socket path {path}: {length} bytes are more than {MAX_PATH}; use a shorter containerd state directory"
    )]
    TooLong {
        /// The path.
        path: String,
        /// Its length.
        length: usize,
    },
    /// The directory could not be made.
    #[error("directory {path}: {source}")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket could not be bound.
    #[error("socket {path}: {source}")]
    Bind {
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// What is at a pod's socket.
#[derive(Debug)]
pub enum Socket {
    /// Nobody: it is ours now.
    Ours(OwnedFd),
    /// The pod's shim runs already.
    Served,
}

/// The path of the socket for a group of containers: named as containerd's own shim names it
/// (`CreateSocketAddress` in `pkg/shim/util_unix.go`, containerd 2.4), so that it cannot meet another's.
///
/// # Errors
/// [`SocketError::TooLong`]
pub fn path(
    directory: &str,
    containerd: &str,
    namespace: &str,
    group: &str,
) -> Result<String, SocketError> {
    let digest = Sha256::digest(format!("{containerd}/{namespace}/{group}").as_bytes());
    let mut path = format!("{}/", directory.trim_end_matches('/'));
    for byte in digest {
        path.push_str(&format!("{byte:02x}"));
    }
    if path.len() > MAX_PATH {
        return Err(SocketError::TooLong {
            length: path.len(),
            path,
        });
    }
    Ok(path)
}

/// Listens at `path`, or finds out who does. A file that nobody serves is left from a crash and replaced.
///
/// # Errors
/// [`SocketError`]
pub fn take(path: &str) -> Result<Socket, SocketError> {
    if let Some(directory) = Path::new(path).parent() {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| SocketError::Directory {
                path: directory.to_owned(),
                source,
            })?;
    }
    let failed = |source| SocketError::Bind {
        path: path.to_owned(),
        source,
    };
    match server::listen(path) {
        Ok(socket) => Ok(Socket::Ours(socket)),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::ADDRINUSE) => {
            if is_served(path) {
                return Ok(Socket::Served);
            }
            std::fs::remove_file(path).map_err(failed)?;
            server::listen(path).map(Socket::Ours).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Whether somebody listens at `path`. A full backlog (`EAGAIN`) is a somebody.
#[must_use]
pub fn is_served(path: &str) -> bool {
    match Client::connect(path) {
        Ok(_) => true,
        Err(error) => Errno::from_io_error(&error) == Some(Errno::AGAIN),
    }
}

/// The address of the socket at `path`, as containerd dials it.
#[must_use]
pub fn address(path: &str) -> String {
    format!("unix://{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_that_of_containerds_own_shims() {
        let path = path(
            "/run/containerd/s",
            "/run/containerd/containerd.sock",
            "k8s.io",
            "pod",
        )
        .unwrap();
        // printf %s /run/containerd/containerd.sock/k8s.io/pod | sha256sum
        assert_eq!(
            path,
            "/run/containerd/s/b9cab8e84f817f3c3bb561c7ea8dcbfba051d5d8f56ec2c3f204bc387d13f7d0"
        );
    }

    #[test]
    fn a_directory_too_deep_is_refused_by_length() {
        let error = path(&"/long".repeat(20), "/c", "n", "g").unwrap_err();
        assert!(
            error.to_string().contains("165 bytes are more than 104"),
            "{error}"
        );
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_served_one_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s").join("socket");
        let path = path.to_str().unwrap();
        let Socket::Ours(first) = take(path).unwrap() else {
            panic!("nobody was there")
        };
        assert!(matches!(take(path).unwrap(), Socket::Served));
        drop(first);
        assert!(matches!(take(path).unwrap(), Socket::Ours(_)));
    }
}
