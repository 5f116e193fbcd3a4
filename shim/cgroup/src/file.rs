//! Reading and writing the small files of cgroupfs, with the path in every error.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

/// More than any file of a cgroup holds; `cgroup.procs` of 100,000 processes is below it.
const MAX_BYTES: u64 = 1 << 20;

/// A file of a cgroup could not be read, written, made or removed.
#[derive(Debug, Error)]
#[error("{action} {}: {source}", path.display())]
pub struct FileError {
    action: String,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    pub(crate) fn new(
        action: impl Into<String>,
        path: &Path,
        source: impl Into<io::Error>,
    ) -> Self {
        Self {
            action: action.into(),
            path: path.to_owned(),
            source: source.into(),
        }
    }

    pub(crate) fn errno(&self) -> Option<Errno> {
        self.source.raw_os_error().map(Errno::from_raw_os_error)
    }

    /// The cgroup, or this file of it, is not there: a removed cgroup's open files say ENODEV.
    pub fn is_gone(&self) -> bool {
        matches!(self.errno(), Some(Errno::NOENT | Errno::NODEV))
    }
}

pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
        .map_err(|error| FileError::new("read", path, error))?;
    Ok(text)
}

/// Writes a value in one `write`, as cgroupfs wants it. Never creates the file.
pub(crate) fn write(path: &Path, value: &str) -> Result<(), FileError> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|error| FileError::new(format!("write {value:?} to"), path, error))
}

pub(crate) fn make_dir(path: &Path) -> Result<(), FileError> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(FileError::new("make", path, error))
        }
        _ => Ok(()),
    }
}

pub(crate) fn make_dirs(path: &Path) -> Result<(), FileError> {
    std::fs::create_dir_all(path).map_err(|error| FileError::new("make", path, error))
}

/// A file holding one number, where `max` means no limit.
pub(crate) fn read_number(path: &Path) -> Result<u64, FileError> {
    let text = read(path)?;
    number(text.trim()).ok_or_else(|| {
        FileError::new(
            "read a number from",
            path,
            io::Error::new(io::ErrorKind::InvalidData, format!("{text:?}")),
        )
    })
}

/// The number of such a file, or 0 where the kernel has no such file.
pub(crate) fn read_number_or_zero(path: &Path) -> Result<u64, FileError> {
    match read_number(path) {
        Err(error) if error.is_gone() => Ok(0),
        other => other,
    }
}

fn number(text: &str) -> Option<u64> {
    // A few v1 files print -1 or other negative numbers for "nothing"; containerd/cgroups reads them as 0.
    match text {
        "max" => Some(u64::MAX),
        _ if text.starts_with('-') => text.parse::<i64>().ok().map(|_| 0),
        _ => text.parse().ok(),
    }
}

/// The `key value` lines of a file such as `memory.stat`. Lines of another form are passed over.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, number(value.trim())?))
    })
}

/// The value of one key of such a file, or 0.
pub(crate) fn value_of(text: &str, key: &str) -> u64 {
    pairs(text)
        .find(|(name, _)| *name == key)
        .map_or(0, |(_, value)| value)
}

/// Every process in `dir` and below it.
pub(crate) fn processes(dir: &Path) -> Result<Vec<u32>, FileError> {
    let mut pids = Vec::new();
    collect(dir, 0, &mut pids)?;
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

fn collect(dir: &Path, depth: usize, pids: &mut Vec<u32>) -> Result<(), FileError> {
    let text = match read(&dir.join("cgroup.procs")) {
        Ok(text) => text,
        Err(error) if error.is_gone() => return Ok(()),
        Err(error) => return Err(error),
    };
    pids.extend(
        text.lines()
            .filter_map(|line| line.trim().parse::<u32>().ok())
            .filter(|pid| *pid != 0),
    );
    for child in children(dir)? {
        if depth < MAX_DEPTH {
            collect(&child, depth + 1, pids)?;
        }
    }
    Ok(())
}

/// Deeper than anyone nests cgroups inside a container, shallower than our stack.
pub(crate) const MAX_DEPTH: usize = 64;

/// The cgroups directly below `dir`; none if it is gone.
pub(crate) fn children(dir: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::new("list", dir, error)),
    };
    let is_dir = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    Ok(entries
        .filter_map(Result::ok)
        .filter(is_dir)
        .map(|entry| entry.path())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_versions_are_read() {
        assert_eq!(number("12"), Some(12));
        assert_eq!(number("max"), Some(u64::MAX));
        assert_eq!(number("-1"), Some(0));
        assert_eq!(number("x"), None);
    }

    #[test]
    fn strange_lines_are_passed_over() {
        let text = "low 0\nnonsense\nmax 3\noom_kill 2\n";
        assert_eq!(value_of(text, "oom_kill"), 2);
        assert_eq!(value_of(text, "absent"), 0);
        assert_eq!(pairs(text).count(), 3);
    }

    #[test]
    fn processes_of_children_are_counted_once() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir(dir.path().join("child")).expect("mkdir");
        std::fs::write(dir.path().join("cgroup.procs"), "7\n0\n3\n").expect("write");
        std::fs::write(dir.path().join("child/cgroup.procs"), "9\n3\n").expect("write");
        assert_eq!(processes(dir.path()).expect("read"), [3, 7, 9]);
        assert_eq!(
            processes(&dir.path().join("absent")).expect("gone"),
            Vec::<u32>::new()
        );
    }

    #[test]
    fn errors_name_the_file_and_the_value() {
        let error = write(Path::new("/nowhere/cpu.shares"), "5").expect_err("no such file");
        assert!(error.is_gone());
        assert_eq!(
            error.to_string(),
            "write \"5\" to /nowhere/cpu.shares: No such file or directory (os error 2)"
        );
    }
}
