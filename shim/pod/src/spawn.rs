//! Child processes with a PID namespace, a cgroup and exactly the descriptors they are given.
//!
//! `std::process` cannot do it: the PID namespace must be chosen by the clone, and on cgroup v2 the child should be
//! born in its cgroup (`CLONE_INTO_CGROUP`, Linux 5.7), which costs nothing, whereas moving it takes a grace period.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use slipway_shim_spec::PidNamespace;

/// Where and with what a child is born.
#[derive(Debug, Clone, Copy)]
pub struct Birth<'a> {
    /// Its PID namespace.
    pub pid_namespace: &'a PidNamespace,
    /// Its cgroup v2 directory, if it exists already.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// A child process, not yet waited for.
pub type Pid = libc::pid_t;

/// Makes a child process that runs `body`, which never returns.
///
/// The caller has one thread, so the child may do anything the parent could. All its signals are blocked, as
/// the parent's are.
///
/// # Errors
/// When the PID namespace cannot be joined or the kernel makes no process.
pub fn fork(birth: Birth<'_>, body: impl FnOnce() -> std::convert::Infallible) -> io::Result<Pid> {
    let joined = match birth.pid_namespace {
        PidNamespace::Join(path) => Some(JoinedPidNamespace::enter(path)?),
        PidNamespace::New | PidNamespace::Host => None,
    };
    let mut flags = 0;
    if *birth.pid_namespace == PidNamespace::New {
        flags |= u64::from(libc::CLONE_NEWPID.cast_unsigned());
    }
    let pid = clone(flags, birth.cgroup)?;
    if pid == 0 {
        body();
    }
    drop(joined);
    Ok(pid)
}

/// `clone3` into a cgroup, or plain `clone` where there is none or the kernel is too old for it.
fn clone(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Pid> {
    if let Some(cgroup) = cgroup {
        // CLONE_INTO_CGROUP of linux/sched.h; a 64-bit flag, so libc has it as c_int only by name.
        const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
        // SAFETY: an all-zero `clone_args` is valid: it asks for nothing.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = flags | CLONE_INTO_CGROUP;
        arguments.exit_signal = libc::SIGCHLD.cast_unsigned().into();
        arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
        // SAFETY: without CLONE_VM this is a fork: the child has a copy of everything, and this process has
        // one thread, so no lock can be held by another. `arguments` outlives the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_clone3,
                &raw const arguments,
                size_of::<libc::clone_args>(),
            )
        };
        match checked(result) {
            // ENOSYS, EPERM: kernel < 5.3 or a seccomp filter; E2BIG: kernel < 5.7. The caller moves it then.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOSYS | libc::EPERM | libc::E2BIG | libc::EINVAL)
                ) => {}
            other => return other,
        }
    }
    let flags = flags | u64::from(libc::SIGCHLD.cast_unsigned());
    // SAFETY: as above; the stack is null, so the child goes on with a copy of this one, and no other argument
    // is used by these flags, whatever their order on this architecture.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, 0usize) };
    checked(result)
}

fn checked(result: libc::c_long) -> io::Result<Pid> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Pid::try_from(result).map_err(io::Error::other)
}

/// Children are born in another PID namespace while this lives (setns(2)).
struct JoinedPidNamespace {
    own: File,
}

impl JoinedPidNamespace {
    fn enter(path: &Path) -> io::Result<Self> {
        let own = File::open("/proc/self/ns/pid")?;
        let target = File::open(path).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("PID namespace {}: {error}", path.display()),
            )
        })?;
        set_pid_namespace(&target).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("PID namespace {}: {error}", path.display()),
            )
        })?;
        Ok(Self { own })
    }
}

impl Drop for JoinedPidNamespace {
    fn drop(&mut self) {
        // Going back to one's own namespace needs nothing that entering the other did not.
        let _ = set_pid_namespace(&self.own);
    }
}

fn set_pid_namespace(namespace: &File) -> io::Result<()> {
    // SAFETY: plain system call on an open descriptor.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWPID) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A child that could not become a program.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NotExecuted {
    /// Why.
    pub error: io::Error,
    /// Where the last of its descriptors is now, by which it may tell: the numbers that the program would have had may
    /// still be its parent's.
    pub last: RawFd,
}

/// Replaces this child by a program with these descriptors as 0, 1, 2, …, no environment and no blocked signals.
/// Returns only when that fails.
///
/// Made for the child of [`fork`]: it closes everything else.
#[must_use]
pub fn exec(program: &CStr, arguments: &[&CStr], descriptors: &[RawFd]) -> NotExecuted {
    exec_with(program, arguments, &[], descriptors)
}

/// As [`exec`], with an environment.
#[must_use]
pub fn exec_with(
    program: &CStr,
    arguments: &[&CStr],
    environment: &[&CStr],
    descriptors: &[RawFd],
) -> NotExecuted {
    let last = match arrange(descriptors) {
        Ok(last) => last,
        Err(failed) => return failed,
    };
    if let Err(error) = unblock_signals() {
        return NotExecuted { error, last };
    }
    let argv = pointers(arguments);
    let envp = pointers(environment);
    // SAFETY: both arrays end in null and their strings are alive.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    NotExecuted {
        error: io::Error::last_os_error(),
        last,
    }
}

fn pointers(strings: &[&CStr]) -> Vec<*const libc::c_char> {
    let pointers = strings.iter().map(|string| string.as_ptr());
    pointers.chain([std::ptr::null()]).collect()
}

/// In the child of [`fork`]: ends it when this process ends, an exec later as well (prctl(2)).
pub fn end_with_parent() {
    // SAFETY: plain system call.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
}

/// Ends the child of a fork that could not become what it should.
pub fn end_child() -> ! {
    // SAFETY: ends this process without running what its parent registered for its own end.
    unsafe { libc::_exit(127) }
}

/// Moves `descriptors` to 0, 1, 2, … and closes the rest. Tells where the last of them is.
fn arrange(descriptors: &[RawFd]) -> Result<RawFd, NotExecuted> {
    let mut last = descriptors.last().copied().unwrap_or(-1);
    let failed = |last| NotExecuted {
        error: io::Error::last_os_error(),
        last,
    };
    // A handful.
    let count = RawFd::try_from(descriptors.len()).unwrap_or(RawFd::MAX);
    // First out of the way, so that none is overwritten before it is moved.
    let mut parked = Vec::with_capacity(descriptors.len());
    for descriptor in descriptors {
        // SAFETY: plain system call.
        let copy = unsafe { libc::fcntl(*descriptor, libc::F_DUPFD_CLOEXEC, count) };
        if copy < 0 {
            return Err(failed(last));
        }
        parked.push(copy);
    }
    last = parked.last().copied().unwrap_or(last);
    for (target, source) in (0..count).zip(parked) {
        // SAFETY: plain system call; dup2 clears close-on-exec.
        if unsafe { libc::dup2(source, target) } < 0 {
            return Err(failed(last));
        }
    }
    close_range(count.cast_unsigned(), u32::MAX);
    Ok(count - 1)
}

/// Closes every descriptor but 0, 1, 2 and this one. For the child of [`fork`], which ends by `_exit` and so never
/// uses what owned them.
pub fn close_all_but(kept: RawFd) {
    let kept = kept.cast_unsigned();
    if kept > 3 {
        close_range(3, kept - 1);
    }
    close_range(kept.max(2) + 1, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    // SAFETY: plain system call; see `close_all_but` for who used those descriptors.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 {
        return;
    }
    // Linux < 5.9.
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<RawFd> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd: &RawFd| (first..=last).contains(&fd.cast_unsigned()))
        .collect();
    for descriptor in open {
        // SAFETY: as above; the directory's own descriptor is among them and closed already (EBADF).
        unsafe { libc::close(descriptor) };
    }
}

fn unblock_signals() -> io::Result<()> {
    // SAFETY: the set is initialised by sigemptyset before it is used. Dispositions are the defaults: this
    // program installs no handlers, and exec resets what Rust's runtime ignores (SIGPIPE) only if told so.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The path of a program as a C string.
///
/// # Errors
/// For a path with a zero byte.
pub fn c_path(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::{FromRawFd, IntoRawFd};

    use super::*;

    #[test]
    fn what_cannot_be_executed_tells_by_its_own_descriptor_and_has_closed_none() {
        let (mut reader, writer) = io::pipe().unwrap();
        let writer = writer.into_raw_fd();
        // The first of them is none, as if there were no number left for its copy.
        let failed = exec(c"/no/such/program", &[], &[-1, writer]);
        assert_eq!(failed.error.raw_os_error(), Some(libc::EBADF));
        assert_eq!(failed.last, writer);
        // SAFETY: it was given up above, and is still open.
        let mut told = unsafe { File::from_raw_fd(failed.last) };
        told.write_all(failed.to_string().as_bytes()).unwrap();
        drop(told);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(text.contains("Bad file descriptor"), "{text}");
    }
}
