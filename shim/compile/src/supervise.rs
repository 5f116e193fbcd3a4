//! The compiling process, seen from its parent.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};
use slipway_shim_engine::compile::CompileError;

use crate::limits::Limits;
use crate::outcome::{EXIT_FULL, EXIT_INTERNAL, EXIT_NOT_RUNNABLE, Failure};
use crate::{job, limits, sandbox};

/// Compiles `module` into `output` in a process that may do nothing else.
pub(crate) fn compile(module: &[u8], output: &File, limits: Limits) -> Result<(), Failure> {
    let starting = |error: io::Error| Failure::internal("starting the compiling process")(error);
    let (reader, writer) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| starting(error.into()))?;
    // SAFETY: this process has one thread, so the child's memory is whole and no lock in it is held.
    match unsafe { libc::fork() } {
        -1 => Err(starting(io::Error::last_os_error())),
        0 => {
            let code = child(module, output, writer, limits);
            // SAFETY: ends the child without running what the parent has registered to run at its exit.
            unsafe { libc::_exit(code.into()) }
        }
        pid => {
            drop(writer);
            let pid = Pid::from_raw(pid).ok_or_else(|| starting(io::ErrorKind::Other.into()))?;
            let status = wait(pid, limits.time)
                .map_err(Failure::internal("waiting for the compiling process"))?;
            let mut sentence = Vec::new();
            File::from(reader)
                .take(limits::SENTENCE as u64)
                .read_to_end(&mut sentence)
                .map_err(Failure::internal("listening to the compiling process"))?;
            judge(status, String::from_utf8_lossy(&sentence).trim(), limits)
        }
    }
}

/// The child. Its exit status is the judgement, the pipe takes the sentence.
fn child(module: &[u8], output: &File, pipe: OwnedFd, limits: Limits) -> u8 {
    let result = sandbox::enter(output.as_fd(), pipe, limits);
    let (mut output, mut pipe) = match result {
        Ok(files) => files,
        // The pipe may be gone; the parent then says that there was no reason given.
        Err(_) => return EXIT_INTERNAL,
    };
    if let Ok(told) = pipe.try_clone() {
        // Cranelift asserts; what it says must not be lost.
        std::panic::set_hook(Box::new(move |panic| {
            let _ = write!(&told, "the compiler failed: {panic}");
            // SAFETY: as in `compile`.
            unsafe { libc::_exit(EXIT_INTERNAL.into()) }
        }));
    }
    let (sentence, code) = match slipway_shim_engine::compile::compile(module) {
        Ok(code) => match output.write_all(&code) {
            Ok(()) => return 0,
            Err(error) if is_full(&error) => return EXIT_FULL,
            Err(error) => (format!("writing code: {error}"), EXIT_INTERNAL),
        },
        Err(CompileError::Invalid(reason)) => (job::not_valid(&reason), EXIT_NOT_RUNNABLE),
        Err(CompileError::World(error)) => (error.to_string(), EXIT_NOT_RUNNABLE),
        Err(error) => (error.to_string(), EXIT_INTERNAL),
    };
    let _ = pipe.write_all(sentence.as_bytes());
    code
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

enum Ended {
    By(WaitStatus),
    TooLate,
}

fn wait(pid: Pid, time: Duration) -> io::Result<Ended> {
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = Instant::now() + time;
    let mut in_time = true;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut events = [PollFd::new(&process, PollFlags::IN)];
        match poll(&mut events, Some(&timespec(left))) {
            Ok(0) => {
                in_time = false;
                rustix::process::pidfd_send_signal(&process, Signal::KILL)?;
                break;
            }
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) if in_time => return Ok(Ended::By(status)),
            Ok(Some(_)) => return Ok(Ended::TooLate),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

fn judge(ended: Ended, sentence: &str, limits: Limits) -> Result<(), Failure> {
    let status = match ended {
        Ended::By(status) => status,
        Ended::TooLate => {
            return Err(Failure::TooLate(duration(limits.time)));
        }
    };
    let told = || match sentence {
        "" => "the compiling process gave no reason".to_owned(),
        sentence => sentence.to_owned(),
    };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) if code == i32::from(EXIT_NOT_RUNNABLE) => {
            Err(Failure::NotRunnable(told()))
        }
        (Some(code), _) if code == i32::from(EXIT_FULL) => Err(Failure::Full),
        // An allocation that is refused ends in abort(3); musl's, where it cannot signal itself (a thread,
        // behind the filter), in a fault.
        (_, Some(libc::SIGABRT | libc::SIGSEGV)) => Err(Failure::NotRunnable(format!(
            "needs more than {} of memory to be compiled",
            size(limits.memory)
        ))),
        (_, Some(libc::SIGXFSZ)) => Err(Failure::NotRunnable(format!(
            "compiles to more than {} GiB of code",
            limits::CODE >> 30
        ))),
        (_, Some(libc::SIGXCPU)) => Err(Failure::NotRunnable(format!(
            "takes more than {} of processor time to compile",
            duration(limits.processor)
        ))),
        (_, Some(signal)) => Err(Failure::Internal(format!(
            "the compiling process was ended by signal {signal}; the node may be short of memory"
        ))),
        _ => Err(Failure::Internal(told())),
    }
}

fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 60 && seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

fn size(bytes: u64) -> String {
    if bytes.trailing_zeros() >= 30 {
        format!("{} GiB", bytes >> 30)
    } else {
        format!("{} MiB", bytes >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_in_round_numbers() {
        let usual = Limits::default();
        assert_eq!(duration(usual.processor), "4 minutes");
        assert_eq!(duration(usual.time), "5 minutes");
        assert_eq!(duration(Duration::from_secs(90)), "90 s");
        assert_eq!(size(usual.memory), "4 GiB");
        assert_eq!(size(96 << 20), "96 MiB");
    }
}
