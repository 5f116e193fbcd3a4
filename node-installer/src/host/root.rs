//! Host paths to local paths, with symbolic links resolved as the node resolves them.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::failure::Reason;

/// As many links as the kernel follows (`MAXSYMLINKS`, linux/include/linux/namei.h).
const MAX_LINKS: usize = 40;

/// Where the node's root is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRoot {
    base: PathBuf,
}

/// Why a host path could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The mount is missing.
    #[error("host root {path} is not a readable folder")]
    Missing {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Only absolute paths have a meaning on the host.
    #[error("{0} is not an absolute path")]
    Relative(PathBuf),
    /// Links in a circle.
    #[error("{0} has too many levels of symbolic links")]
    Loop(PathBuf),
    /// A component could not be read.
    #[error("cannot read {path} on the host")]
    Read {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Reason for RootError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "HostRootMissing",
            _ => "HostPathUnreadable",
        }
    }
}

impl HostRoot {
    /// The node's root, mounted at `base`.
    pub fn new(base: &Path) -> Result<Self, RootError> {
        let base = fs::canonicalize(base)
            .and_then(|base| fs::read_dir(&base).map(|_| base))
            .map_err(|source| RootError::Missing {
                path: base.to_owned(),
                source,
            })?;
        Ok(Self { base })
    }

    /// The mount itself.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Whether this process runs on the node's own root.
    pub fn is_own_root(&self) -> bool {
        self.base == Path::new("/")
    }

    /// The local path of a host path, links not resolved. For names that cannot be links, and for `/proc`.
    pub fn local(&self, host_path: &Path) -> PathBuf {
        self.base
            .join(host_path.strip_prefix("/").unwrap_or(host_path))
    }

    /// The host path without links. Components that do not exist are kept as they are.
    pub fn resolve(&self, host_path: &Path) -> Result<PathBuf, RootError> {
        if !host_path.is_absolute() {
            return Err(RootError::Relative(host_path.to_owned()));
        }
        let mut pending: VecDeque<OsString> = names(host_path);
        let mut resolved = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == ".." {
                resolved.pop();
                continue;
            }
            let candidate = resolved.join(&name);
            match fs::read_link(self.local(&candidate)) {
                Ok(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(RootError::Loop(host_path.to_owned()));
                    }
                    if target.is_absolute() {
                        resolved = PathBuf::from("/");
                    }
                    for name in names(&target).into_iter().rev() {
                        pending.push_front(name);
                    }
                }
                // Not a link, or nothing there.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::InvalidInput | io::ErrorKind::NotFound
                    ) =>
                {
                    resolved = candidate;
                }
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => resolved = candidate,
                Err(source) => {
                    return Err(RootError::Read {
                        path: candidate,
                        source,
                    });
                }
            }
        }
        Ok(resolved)
    }

    /// The local path of a name itself: links on the way to it are resolved, and it is not followed if it is one.
    pub fn entry(&self, host_path: &Path) -> Result<PathBuf, RootError> {
        match (host_path.parent(), host_path.file_name()) {
            (Some(folder), Some(name)) => Ok(self.locate(folder)?.join(name)),
            _ => self.locate(host_path),
        }
    }

    /// The local path of a host path, links resolved.
    pub fn locate(&self, host_path: &Path) -> Result<PathBuf, RootError> {
        Ok(self.local(&self.resolve(host_path)?))
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn an_absolute_link_stays_inside_the_host() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("run/containerd")).unwrap();
        fs::create_dir_all(dir.path().join("var")).unwrap();
        symlink("/run", dir.path().join("var/run")).unwrap();
        let root = HostRoot::new(dir.path()).unwrap();
        assert_eq!(
            root.resolve(Path::new("/var/run/containerd/../x/y"))
                .unwrap(),
            PathBuf::from("/run/x/y"),
            "also where the end does not exist"
        );
    }

    #[test]
    fn a_link_cannot_climb_out_and_a_loop_ends() {
        let dir = tempfile::tempdir().unwrap();
        symlink("../../../../etc", dir.path().join("up")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        let root = HostRoot::new(dir.path()).unwrap();
        assert_eq!(
            root.resolve(Path::new("/up/passwd")).unwrap(),
            PathBuf::from("/etc/passwd")
        );
        assert!(matches!(
            root.resolve(Path::new("/loop")),
            Err(RootError::Loop(_))
        ));
        assert!(matches!(
            root.resolve(Path::new("etc")),
            Err(RootError::Relative(_))
        ));
    }
}
