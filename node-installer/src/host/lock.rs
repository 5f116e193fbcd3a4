//! One installer at a time on a node.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::HostRoot;
use crate::failure::Reason;

/// The folder whose lock is taken. A lock on a folder that is always there needs no file, so that nothing has to be
/// made before a refusal or removed after an uninstall.
const FOLDER: &str = "/var/lib";

/// How often a taken lock is tried again; the kernel has no `flock` with a deadline.
const RETRY: Duration = Duration::from_millis(200);

/// The lock; released when dropped, and by the kernel when the process dies.
#[derive(Debug)]
pub struct Lock {
    _folder: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("another installer has been working on this node for {} seconds: wait for it to end", .0.as_secs())]
    Busy(Duration),
    /// The folder cannot be opened or locked.
    #[error("cannot lock {path}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Reason for LockError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Busy(_) => "Busy",
            Self::Io { .. } => "LockUnavailable",
        }
    }
}

/// Takes the node's lock, waiting for at most `patience`.
pub fn take(root: &HostRoot, patience: Duration) -> Result<Lock, LockError> {
    let path = root.local(FOLDER.as_ref());
    let io = |source| LockError::Io {
        path: path.clone(),
        source,
    };
    let folder = File::open(&path).map_err(io)?;
    let deadline = Instant::now() + patience;
    loop {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock { _folder: folder }),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() >= deadline => {
                return Err(LockError::Busy(patience));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(RETRY),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("var/lib")).unwrap();
        let root = HostRoot::new(dir.path()).unwrap();
        let held = take(&root, Duration::ZERO).unwrap();
        assert!(matches!(
            take(&root, Duration::ZERO),
            Err(LockError::Busy(_))
        ));
        drop(held);
        take(&root, Duration::ZERO).unwrap();
    }
}
