//! Noticing OOM kills, for containerd's TaskOOM event: the sole source of `OOMKilled` in a pod's status.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;
use rustix::io::{Errno, read};

use crate::file::{self, FileError};
use crate::hierarchy::Version;

/// Watches one cgroup.
///
/// The kernel counts kills in a file, but systemd may remove the cgroup the moment its last process is gone. So the
/// kernel is asked to tell, too: v1 by an eventfd that is written for OOM alone, v2 by a change of `memory.events`.
#[derive(Debug)]
pub struct OomWatch {
    version: Version,
    notify: OwnedFd,
    counter: PathBuf,
    /// Kills counted when last asked.
    before: u64,
    /// v1: told of OOM while the counter was still there, so it was not the cgroup's end.
    told_before: bool,
}

impl OomWatch {
    pub(crate) fn new(version: Version, dir: &Path) -> Result<Self, FileError> {
        let counter = dir.join(match version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        });
        let notify = match version {
            Version::V1 => notify_v1(dir, &counter)?,
            Version::V2 => notify_v2(&counter)?,
        };
        let before = count(&counter)?;
        Ok(Self {
            version,
            notify,
            counter,
            before,
            told_before: false,
        })
    }

    /// What to poll for reading.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.notify.as_fd()
    }

    /// Whether the kernel killed something in here for want of memory since this was last asked. Call it when the
    /// descriptor is readable, and when a process has ended but its cgroup is not removed yet.
    pub fn killed(&mut self) -> bool {
        let told = self.drain();
        match count(&self.counter) {
            Ok(kills) => {
                // v1 tells before it kills and counts.
                let killed = kills > self.before;
                self.before = kills;
                self.told_before = !killed && (self.told_before || told > 0);
                killed
            }
            // The cgroup is gone, and what it told last decides.
            Err(_) => match self.version {
                // Its end is told too, once (cgroup-v1/memcontrol.c, memcg_event_remove).
                Version::V1 => std::mem::take(&mut self.told_before) || told > 1,
                // A change may also mean that the limit was reached without a kill; when the cgroup ends in the same
                // instant, a kill is what it was.
                Version::V2 => told > 0,
            },
        }
    }

    /// Whether a kill was announced that is not counted yet: worth asking again soon. v1 tells of want of memory
    /// before it kills, and tells a cgroup of its parent's, where another one's process may be the one that dies.
    #[must_use]
    pub fn is_expecting(&self) -> bool {
        self.told_before
    }

    /// Takes what was told: how many times, but for the end of a v2 cgroup.
    fn drain(&self) -> u64 {
        let mut told = 0;
        let mut buffer = [0; 1024];
        loop {
            match read(&self.notify, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => return told,
                Ok(len) => {
                    told += match self.version {
                        Version::V1 => buffer
                            .first_chunk()
                            .map_or(0, |count| u64::from_ne_bytes(*count)),
                        Version::V2 => modifications(&buffer[..len]),
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return told,
            }
        }
    }
}

fn count(counter: &Path) -> Result<u64, FileError> {
    Ok(file::value_of(&file::read(counter)?, "oom_kill"))
}

/// Asks for an eventfd to be written at OOM: `<eventfd> <fd of memory.oom_control>` to `cgroup.event_control`
/// (cgroup-v1/memory.rst, section 10).
fn notify_v1(dir: &Path, control: &Path) -> Result<OwnedFd, FileError> {
    use std::os::fd::AsRawFd;
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| FileError::new("make an eventfd for", control, errno))?;
    let opened = File::open(control).map_err(|error| FileError::new("open", control, error))?;
    let registration = format!("{} {}", event.as_raw_fd(), opened.as_raw_fd());
    // A kernel that takes no registration (PREEMPT_RT has none) still counts, and the counter is read at the end.
    match file::write(&dir.join("cgroup.event_control"), &registration) {
        Err(error) if !error.is_gone() && error.errno() != Some(Errno::INVAL) => Err(error),
        _ => Ok(event),
    }
}

fn notify_v2(events: &Path) -> Result<OwnedFd, FileError> {
    let watch = || {
        let inotify =
            inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&inotify, events, inotify::WatchFlags::MODIFY)?;
        Ok(inotify)
    };
    watch().map_err(|errno: Errno| FileError::new("watch", events, errno))
}

/// How many of the inotify events are IN_MODIFY; removing the file sends IN_IGNORED. Layout: inotify(7).
fn modifications(mut events: &[u8]) -> u64 {
    const HEADER: usize = 16;
    let mut count = 0;
    while let Some(header) = events.get(..HEADER) {
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        count += u64::from(word(4) & inotify::ReadFlags::MODIFY.bits() != 0);
        events = events.get(HEADER + word(12) as usize..).unwrap_or_default();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_seen_by_the_counter() {
        let dir = tempfile::tempdir().expect("temp dir");
        let events = dir.path().join("memory.events");
        std::fs::write(&events, "low 0\noom 1\noom_kill 1\n").expect("write");
        let mut watch = OomWatch::new(Version::V2, dir.path()).expect("watched");
        assert!(!watch.killed(), "what was before does not count");
        std::fs::write(&events, "low 0\noom 2\noom_kill 2\n").expect("write");
        assert!(watch.killed());
        assert!(!watch.killed(), "told once");
    }

    #[test]
    fn a_kill_is_seen_though_the_cgroup_is_gone() {
        let dir = tempfile::tempdir().expect("temp dir");
        let events = dir.path().join("memory.events");
        std::fs::write(&events, "oom_kill 0\n").expect("write");
        let mut told = OomWatch::new(Version::V2, dir.path()).expect("watched");
        file::write(&events, "oom_kill 1\n").expect("write");
        let mut late = OomWatch::new(Version::V2, dir.path()).expect("watched");
        std::fs::remove_file(&events).expect("remove");
        assert!(told.killed());
        assert!(!told.killed(), "told once");
        assert!(!late.killed(), "the end of the cgroup is no kill");
    }
}
