//! Which module a file holds, told by its inode instead of its bytes.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

use crate::Digest;

/// A file changed this recently may change again within the resolution of its time stamps.
const SETTLED: Duration = Duration::from_secs(2);

/// What stands for `st_dev` in the identity of a file on a container's root file system.
///
/// Each mount of an overlay has a device number of its own, so it says nothing about the file; the list of
/// lower directories does, since below them only containerd writes. The pod process passes that list (or,
/// for another snapshotter, whatever names the snapshot's content).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace(Digest);

/// Text that names no namespace.
#[derive(Debug, thiserror::Error)]
#[error("namespace: {0}")]
pub struct ParseNamespaceError(#[from] crate::ParseDigestError);

impl Namespace {
    /// The namespace of files that lie below these lower directories.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Digest::of(name.as_bytes()))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Namespace {
    type Err = ParseNamespaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.parse()?))
    }
}

/// A file as its inode shows it; must be taken before the file is read, so that a change after that makes
/// another identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(Digest);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of a file, or `None` for one that changed just now.
///
/// The change time is part of it and cannot be set by anybody, so that a file which a guest has rewritten
/// in its own upper directory is another one, whatever it did to size and modification time.
pub(crate) fn identity(namespace: Namespace, stat: &Stat, now: SystemTime) -> Option<Identity> {
    let changed =
        UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(stat.st_ctime).ok()?))?;
    if now.duration_since(changed).ok()? < SETTLED {
        return None;
    }
    let Stat {
        st_ino,
        st_size,
        st_mtime,
        st_mtime_nsec,
        st_ctime,
        st_ctime_nsec,
        ..
    } = stat;
    Some(Identity(Digest::of(
        format!(
            "identity 1 {namespace} {st_ino} {st_size} {st_mtime}.{st_mtime_nsec} {st_ctime}.{st_ctime_nsec}"
        )
        .as_bytes(),
    )))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn stat() -> (tempfile::NamedTempFile, Stat) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"wasm").unwrap();
        let stat = rustix::fs::fstat(&file).unwrap();
        (file, stat)
    }

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_fresh_file_has_no_identity_yet() {
        let (_file, stat) = stat();
        let namespace = Namespace::new("layers");
        assert_eq!(identity(namespace, &stat, SystemTime::now()), None);
        assert!(identity(namespace, &stat, later()).is_some());
    }

    #[test]
    fn a_clock_set_back_gives_none() {
        let (_file, stat) = stat();
        assert_eq!(identity(Namespace::new("layers"), &stat, UNIX_EPOCH), None);
    }

    #[test]
    fn namespace_and_times_count() {
        let (_file, stat) = stat();
        let one = identity(Namespace::new("a"), &stat, later());
        assert_ne!(one, identity(Namespace::new("b"), &stat, later()));
        let mut touched = stat;
        touched.st_ctime_nsec += 1;
        assert_ne!(one, identity(Namespace::new("a"), &touched, later()));
    }

    #[test]
    fn a_namespace_travels_as_text() {
        let namespace = Namespace::new("/one:/two");
        assert_eq!(
            namespace.to_string().parse::<Namespace>().unwrap(),
            namespace
        );
        assert!("/one:/two".parse::<Namespace>().is_err());
    }
}
