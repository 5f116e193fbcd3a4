//! The files a root file imports, found as containerd finds them (`resolveImports` in
//! `cmd/containerd/server/config/config.go`@v2.4.2): relative to the importing file, globs in lexical order, breadth
//! first, each file once.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::document::{self, DocumentError};
use super::rewrite::{self, RewriteError};
use crate::failure::Reason;
use crate::host::files::{self, FileError, MAX_CONFIG_BYTES};
use crate::host::{HostRoot, root::RootError};

/// More than any node has.
pub const MAX_FILES: usize = 256;

/// A configuration file that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The host path by which containerd knows it; it may be a symbolic link.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// Why the files could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The path.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its text.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Its `imports`.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// A loop of globs, or a mistake.
    #[error("{0} imports more than {MAX_FILES} files")]
    TooMany(PathBuf),
}

impl Reason for ImportError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Root(error) => error.reason(),
            Self::File(error) => error.reason(),
            Self::Document(error) => error.reason(),
            Self::Rewrite(error) => error.reason(),
            Self::TooMany(_) => "ConfigUnsupported",
        }
    }
}

/// The root file (if it exists) and all it imports, in the order in which containerd merges them.
pub fn load(root: &HostRoot, config: &Path) -> Result<Vec<Source>, ImportError> {
    let mut pending = VecDeque::from([config.to_owned()]);
    let mut seen = BTreeSet::new();
    let mut sources = Vec::new();
    while let Some(path) = pending.pop_front() {
        if !seen.insert(path.clone()) {
            continue;
        }
        if seen.len() > MAX_FILES {
            return Err(ImportError::TooMany(config.to_owned()));
        }
        // A missing import is containerd's to complain about, when it validates.
        let Some((bytes, _)) = files::read(&root.locate(&path)?, MAX_CONFIG_BYTES)? else {
            continue;
        };
        let text = document::decode(&path, bytes)?;
        let parsed = document::parse(&path, &text)?;
        for pattern in rewrite::imports(&path, &parsed)? {
            pending.extend(expand(root, &absolute(&path, &pattern))?);
        }
        sources.push(Source { path, text });
    }
    Ok(sources)
}

/// A pattern, relative to the file that holds it.
pub fn absolute(importing: &Path, pattern: &str) -> PathBuf {
    let joined = importing.parent().unwrap_or(Path::new("/")).join(pattern);
    let mut clean = PathBuf::new();
    for component in joined.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

/// The existing host paths that match a pattern; a pattern without `*` is a path.
fn expand(root: &HostRoot, pattern: &Path) -> Result<Vec<PathBuf>, ImportError> {
    if !pattern.to_string_lossy().contains('*') {
        return Ok(vec![pattern.to_owned()]);
    }
    let mut found = vec![PathBuf::from("/")];
    for component in pattern.components().skip(1) {
        let name = component.as_os_str().to_string_lossy();
        if !name.contains(['*', '?', '[', '\\']) {
            found = found
                .into_iter()
                .map(|folder| folder.join(name.as_ref()))
                .collect();
            continue;
        }
        let mut next = Vec::new();
        for folder in found {
            let Ok(entries) = fs::read_dir(root.locate(&folder)?) else {
                continue;
            };
            let mut names: Vec<String> = entries
                .flatten()
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect();
            names.sort();
            next.extend(
                names
                    .iter()
                    .filter(|entry| matches(&name, entry))
                    .map(|entry| folder.join(entry)),
            );
        }
        found = next;
    }
    Ok(found)
}

/// `*` and `?` of Go's `path/filepath.Match`, which, unlike a shell, lets `*` match a leading dot. A class (`[a-z]`)
/// matches nothing here: our own folder never has one, and containerd's validation sees what such a file holds.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some('?') => (p, n) = (p + 1, n + 1),
            Some(c) if *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, from)) => {
                    (p, n) = (at + 1, from + 1);
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_containerds_order_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc/containerd");
        fs::create_dir_all(etc.join("conf.d")).unwrap();
        fs::write(
            etc.join("config.toml"),
            "imports = [\"conf.d/*.toml\", \"/etc/containerd/none.toml\"]",
        )
        .unwrap();
        fs::write(etc.join("conf.d/20.toml"), "imports = [\"../config.toml\"]").unwrap();
        fs::write(etc.join("conf.d/.10.toml"), "").unwrap();
        fs::write(etc.join("conf.d/10.toml.tmp"), "not = toml = at all").unwrap();
        let root = HostRoot::new(dir.path()).unwrap();
        let sources = load(&root, Path::new("/etc/containerd/config.toml")).unwrap();
        let names: Vec<_> = sources
            .iter()
            .map(|source| source.path.to_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "/etc/containerd/config.toml",
                "/etc/containerd/conf.d/.10.toml",
                "/etc/containerd/conf.d/20.toml"
            ]
        );
    }

    #[test]
    fn globs_match_as_in_go() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", true),
            ("*.toml", "a.toml.tmp", false),
            ("a?c*", "abcdef", true),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbx", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
