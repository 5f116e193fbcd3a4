//! A process to make a container of.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use slipway_shim_container::SetupError;
use slipway_shim_wire::Plan;

/// Enters a container whose process is where it is counted.
pub(crate) fn enter(plan: &Plan) -> Result<(), SetupError> {
    slipway_shim_container::enter(plan, || Ok(()))
}

/// How a child ended: what it returned, or the signal that ended it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Returned(Result<String, String>),
    Signalled(i32),
}

/// Runs `work` as PID 1 of a new PID namespace, in a process with one thread, and gives what it returned.
pub(crate) fn run(work: impl FnOnce() -> Result<String, String>) -> Ended {
    let (mut reader, writer) = pipe();
    // SAFETY: the child of a fork has one thread; glibc's allocator survives a fork, and the child touches no
    // lock of the test harness.
    let outer = unsafe { libc::fork() };
    assert!(outer >= 0, "fork");
    if outer == 0 {
        drop(reader);
        // SAFETY: plain system calls; the child ends by _exit alone.
        unsafe {
            if libc::unshare(libc::CLONE_NEWPID) != 0 {
                libc::_exit(90);
            }
            let inner = libc::fork();
            if inner == 0 {
                report(writer, work);
                libc::_exit(0);
            }
            let mut status = 0;
            libc::waitpid(inner, &raw mut status, 0);
            libc::_exit(if libc::WIFSIGNALED(status) {
                100 + libc::WTERMSIG(status)
            } else {
                libc::WEXITSTATUS(status)
            });
        }
    }
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let mut status = 0;
    // SAFETY: our own child, and a place for its status.
    unsafe { libc::waitpid(outer, &raw mut status, 0) };
    match libc::WEXITSTATUS(status) {
        0 => Ended::Returned(match text.split_at(1) {
            ("+", text) => Ok(text.to_owned()),
            (_, text) => Err(text.to_owned()),
        }),
        code if code > 100 => Ended::Signalled(code - 100),
        code => panic!("the child ended with {code}: {text}"),
    }
}

/// A child that did its work and stays.
pub(crate) struct Held(libc::pid_t);

impl Held {
    pub(crate) fn pid(&self) -> libc::pid_t {
        self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut status = 0;
        // SAFETY: our own child, and a place for its status.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, &raw mut status, 0);
        }
    }
}

/// Runs `work` in a process with one thread that stays until it is dropped. It writes a byte when the work is done.
pub(crate) fn hold(work: impl FnOnce() -> Result<(), String>) -> (File, Held) {
    let (reader, mut writer) = pipe();
    // SAFETY: as in `run`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        drop(reader);
        let done = catch_unwind(AssertUnwindSafe(work));
        if matches!(done, Ok(Ok(()))) && writer.write_all(b"+").is_ok() {
            loop {
                // SAFETY: plain system call.
                unsafe { libc::pause() };
            }
        }
        // SAFETY: the child ends by _exit alone.
        unsafe { libc::_exit(1) }
    }
    (reader, Held(pid))
}

/// As [`run`], for work that has to succeed.
pub(crate) fn succeed(work: impl FnOnce() -> Result<String, String>) -> String {
    match run(work) {
        Ended::Returned(Ok(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn report(mut writer: File, work: impl FnOnce() -> Result<String, String>) {
    let result = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(format!("panic: {:?}", panic.downcast_ref::<String>())));
    let text = match result {
        Ok(text) => format!("+{text}"),
        Err(text) => format!("-{text}"),
    };
    writer.write_all(text.as_bytes()).unwrap();
}

fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: a place for two descriptors, which nobody else owns afterwards.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    }
}

/// An error as text, for the pipe.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
