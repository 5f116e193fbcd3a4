//! Signals as a descriptor, and children that have ended.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::spawn::Pid;

/// The signals of this process, all blocked and read from a descriptor.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks every signal that can be blocked.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn block() -> io::Result<Self> {
        // SAFETY: the set is initialised by sigfillset before it is used; the descriptor is new and ours.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            if libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            let fd = libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Takes the pending signals and returns their numbers.
    pub fn drain(&self) -> Vec<i32> {
        let mut signals = Vec::new();
        loop {
            // SAFETY: all bit patterns are valid for this plain C structure.
            let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
            // SAFETY: the buffer is `info`, with its own length.
            let read = unsafe {
                libc::read(
                    self.0.as_raw_fd(),
                    (&raw mut info).cast(),
                    size_of::<libc::signalfd_siginfo>(),
                )
            };
            if usize::try_from(read) != Ok(size_of::<libc::signalfd_siginfo>()) {
                return signals;
            }
            signals.push(info.ssi_signo.cast_signed());
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Reaps one ended child, if there is any, and returns its exit status as a shell would: 128 + n for a signal.
#[must_use]
pub fn reap() -> Option<(Pid, u32)> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a valid place to write to.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        match pid {
            0 => return None,
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return None,
            pid if libc::WIFEXITED(status) => {
                return Some((pid, libc::WEXITSTATUS(status).cast_unsigned()));
            }
            pid if libc::WIFSIGNALED(status) => {
                return Some((pid, 128 + libc::WTERMSIG(status).cast_unsigned()));
            }
            _ => {}
        }
    }
}

/// Sends a signal to a child that has not been reaped, so that its number cannot be another's.
///
/// # Errors
/// `ESRCH` does not happen to an unreaped child; `EINVAL` for a number that is no signal.
pub fn send(pid: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: plain system call; a positive pid names one process.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
