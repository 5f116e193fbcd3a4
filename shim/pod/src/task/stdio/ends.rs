//! The guest's ends of its streams.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// The worker's ends: for the child only, closed in this process once it is born.
#[derive(Debug)]
pub struct Ends {
    pub(super) stdin: File,
    pub(super) stdout: File,
    pub(super) stderr: File,
    pub(super) terminal: bool,
}

impl Ends {
    /// A terminal's side of the guest for all three.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn terminal(guest: OwnedFd) -> io::Result<Self> {
        let guest = File::from(guest);
        Ok(Self {
            stdin: guest.try_clone()?,
            stdout: guest.try_clone()?,
            stderr: guest,
            terminal: true,
        })
    }

    /// In the child: if these are a terminal, makes it the controlling one of a new session, so that Ctrl-C is a signal.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn take_control(&self) -> io::Result<()> {
        if self.terminal {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(&self.stdin)?;
        }
        Ok(())
    }

    /// As descriptors 0, 1 and 2.
    #[must_use]
    pub fn raw(&self) -> [RawFd; 3] {
        [
            self.stdin.as_raw_fd(),
            self.stdout.as_raw_fd(),
            self.stderr.as_raw_fd(),
        ]
    }
}
