//! Stopping and continuing all processes of a cgroup.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cgroup::Error;
use crate::file::{self, FileError};
use crate::hierarchy::Version;

/// A guest is in user space or in a short system call, so this is only reached by a process stuck in the kernel.
const PATIENCE: Duration = Duration::from_millis(500);
/// v1 tells nobody when it has frozen: the state is worked out at each reading of the file.
const V1_PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};

pub(crate) fn set(version: Version, dir: &Path, frozen: bool) -> Result<(), Error> {
    let done = match version {
        Version::V1 => set_v1(dir, frozen)?,
        Version::V2 => set_v2(dir, frozen)?,
    };
    if done {
        return Ok(());
    }
    // Half frozen is worse than running.
    if frozen {
        set(version, dir, false)?;
    }
    let state = if frozen { "frozen" } else { "thawed" };
    Err(Error::Freezer {
        path: dir.display().to_string(),
        state,
    })
}

fn set_v1(dir: &Path, frozen: bool) -> Result<bool, FileError> {
    let state = dir.join("freezer.state");
    let wanted = if frozen { "FROZEN" } else { "THAWED" };
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Written again each time: a process that appears while freezing can keep a v1 cgroup at FREEZING
        // (opencontainers/runc#2774).
        file::write(&state, wanted)?;
        if file::read(&state)?.trim() == wanted {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        let _ = poll(&mut [], Some(&V1_PAUSE));
    }
}

fn set_v2(dir: &Path, frozen: bool) -> Result<bool, FileError> {
    let events = dir.join("cgroup.events");
    let watched = File::open(&events).map_err(|error| FileError::new("open", &events, error))?;
    file::write(&dir.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if file::value_of(&file::read(&events)?, "frozen") == u64::from(frozen) {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        // A change of the file is told as POLLPRI (cgroup-v2.rst, "cgroup.events").
        let left = Timespec {
            tv_sec: left.as_secs() as _,
            tv_nsec: left.subsec_nanos().into(),
        };
        let _ = poll(&mut [PollFd::new(&watched, PollFlags::PRI)], Some(&left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_is_frozen_when_the_kernel_says_so() {
        let dir = tempfile::tempdir().expect("temp dir");
        let state = dir.path().join("freezer.state");
        std::fs::write(&state, "THAWED").expect("write");
        set(Version::V1, dir.path(), true).expect("frozen");
        assert_eq!(std::fs::read_to_string(&state).expect("read"), "FROZEN");
        set(Version::V1, dir.path(), false).expect("thawed");
        assert_eq!(std::fs::read_to_string(&state).expect("read"), "THAWED");
    }

    #[test]
    fn what_does_not_freeze_is_let_go_and_reported() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(dir.path().join("cgroup.freeze"), "0").expect("write");
        std::fs::write(dir.path().join("cgroup.events"), "populated 1\nfrozen 0\n").expect("write");
        let error = set(Version::V2, dir.path(), true).expect_err("nothing freezes a plain file");
        assert!(
            error.to_string().ends_with("is still not frozen"),
            "{error}"
        );
        assert_eq!(
            std::fs::read_to_string(dir.path().join("cgroup.freeze")).expect("read"),
            "0"
        );
    }
}
