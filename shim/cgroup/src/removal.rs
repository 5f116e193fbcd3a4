//! Emptying and removing cgroups.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::Error;
use crate::file::{self, FileError, MAX_DEPTH};

/// Between two tries. A killed process leaves its cgroup a moment after it has become a zombie, and v1 tells nobody.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};

/// SIGKILL for every process in `dir` and below; how many there were.
pub(crate) fn kill(dir: &Path) -> Result<usize, FileError> {
    let pids = file::processes(dir)?;
    // All at once where the kernel can (v2, 5.14), so that nothing forks away; the rest of the loop finds them dead.
    if !pids.is_empty() && dir.join("cgroup.kill").exists() {
        file::write(&dir.join("cgroup.kill"), "1")?;
    }
    for pid in &pids {
        if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
            // Gone meanwhile is what we want.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    Ok(pids.len())
}

/// Removes each of `dirs` with what is below it.
pub(crate) fn remove<'a>(
    dirs: impl Iterator<Item = &'a Path>,
    patience: Duration,
) -> Result<(), Error> {
    let start = Instant::now();
    let mut left: Vec<&Path> = dirs.collect();
    loop {
        let mut busy = Vec::new();
        for dir in left {
            if !remove_tree(dir, 0)? {
                busy.push(dir);
            }
        }
        let Some(first) = busy.first() else {
            return Ok(());
        };
        if start.elapsed() >= patience {
            let path = first.display().to_string();
            return Err(Error::Busy {
                path,
                millis: patience.as_millis(),
            });
        }
        let _ = poll(&mut [], Some(&PAUSE));
        left = busy;
    }
}

/// True if it is gone, false if it is busy.
fn remove_tree(dir: &Path, depth: usize) -> Result<bool, FileError> {
    match std::fs::remove_dir(dir) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) if is_busy(&error) => {}
        Err(error) => return Err(FileError::new("remove", dir, error)),
    }
    let mut below = false;
    for child in file::children(dir)? {
        below = true;
        if depth >= MAX_DEPTH || !remove_tree(&child, depth + 1)? {
            return Ok(false);
        }
    }
    if !below {
        return Ok(false);
    }
    match std::fs::remove_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if is_busy(&error) => Ok(false),
        Err(error) => Err(FileError::new("remove", dir, error)),
    }
}

/// cgroupfs says EBUSY for processes and for children; other file systems ENOTEMPTY.
fn is_busy(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::BUSY | Errno::NOTEMPTY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_go_first_and_gone_is_fine() {
        let root = tempfile::tempdir().expect("temp dir");
        let dir = root.path().join("a");
        std::fs::create_dir_all(dir.join("b/c")).expect("mkdir");
        remove([dir.as_path()].into_iter(), Duration::ZERO).expect("removed");
        assert!(!dir.exists());
        remove([dir.as_path()].into_iter(), Duration::ZERO).expect("gone already");
    }

    #[test]
    fn what_stays_busy_is_named() {
        let root = tempfile::tempdir().expect("temp dir");
        let dir = root.path().join("a");
        std::fs::create_dir(&dir).expect("mkdir");
        std::fs::write(dir.join("file"), "").expect("write");
        let error =
            remove([dir.as_path()].into_iter(), Duration::from_millis(3)).expect_err("not empty");
        assert!(matches!(error, Error::Busy { millis: 3, .. }), "{error}");
    }

    #[test]
    fn an_empty_cgroup_has_nothing_to_kill() {
        let root = tempfile::tempdir().expect("temp dir");
        std::fs::write(root.path().join("cgroup.procs"), "").expect("write");
        assert_eq!(kill(root.path()).expect("read"), 0);
        assert_eq!(kill(&root.path().join("gone")).expect("gone"), 0);
    }
}
