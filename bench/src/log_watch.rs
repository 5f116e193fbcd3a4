//! When a container's log gets its first line, told by the kernel: polling would cost the pod the time it measures.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

/// A watch on the folder of a log that need not be there yet.
#[derive(Debug)]
pub(crate) struct LogWatch {
    inotify: OwnedFd,
    log: PathBuf,
}

impl LogWatch {
    /// Watches the folder in which `log` will be.
    ///
    /// # Errors
    /// When the kernel has no more watches.
    pub(crate) fn new(folder: &Path, log: &str) -> Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).context("inotify")?;
        let changes = inotify::WatchFlags::CREATE | inotify::WatchFlags::MODIFY;
        inotify::add_watch(&inotify, folder, changes)
            .with_context(|| format!("watching {}", folder.display()))?;
        Ok(Self {
            inotify,
            log: folder.join(log),
        })
    }

    /// Waits for a whole line, and says when it was there.
    ///
    /// # Errors
    /// When none comes in time.
    pub(crate) fn first_line(&self, limit: Duration) -> Result<Instant> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left)?;
            let ready = poll(
                &mut [PollFd::new(&self.inotify, PollFlags::IN)],
                Some(&left),
            )?;
            let now = Instant::now();
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut changes = inotify::Reader::new(&self.inotify, &mut buffer);
            while changes.next().is_ok() {}
            // The file may not be there yet.
            if std::fs::read(&self.log).is_ok_and(|bytes| bytes.contains(&b'\n')) {
                return Ok(now);
            }
            if ready == 0 {
                bail!("no line in {} within {limit:?}", self.log.display());
            }
        }
    }
}
