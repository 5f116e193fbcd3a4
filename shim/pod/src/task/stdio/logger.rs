//! A logging program that reads a guest's output: containerd's `binary://` contract (`core/runtime/v2/logging` and
//! `NewBinaryIO` in `cmd/containerd-shim-runc-v2/process/io.go`, containerd 2.4).
//!
//! It has the guest's standard output as descriptor 3, its standard error as 4, and a pipe as 5 by which it says that
//! it is ready: the guest does not start before. Its streams end with the guest. A logger that goes on then is told by
//! SIGTERM, and at last by SIGKILL; containerd's own shim gives it the same twelve seconds.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use slipway_shim_spec::PidNamespace;

use super::sink::LoggerUri;
use crate::signals;
use crate::spawn::{self, Birth, Pid};
use crate::task::ProcessId;

/// How long a logger may go on after the guest's end before it is asked to end, and then before it is made to.
const GRACE: Duration = Duration::from_secs(10);
const LAST_GRACE: Duration = Duration::from_secs(2);

/// What the child says on the ready pipe if it cannot become the logger, before the reason.
const FAILED: &[u8] = b"slipway: ";

/// For whom a logger logs.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The process.
    pub process: &'a ProcessId,
    /// containerd's namespace.
    pub namespace: &'a str,
}

/// A logging program, a child of ours.
#[derive(Debug)]
pub struct Logger {
    /// For whom it logs.
    pub process: ProcessId,
    /// Its number; 0 once it has ended.
    pub pid: Pid,
    program: String,
    strict: bool,
    /// Until it is ready.
    ready: Option<File>,
    /// Which signal it gets next, and when, once its guest has ended.
    next: Option<(Instant, i32)>,
}

/// Starts a logger, which reads the returned pipes: standard output and standard error.
pub(super) fn start(uri: &LoggerUri, owner: Owner<'_>) -> io::Result<(Logger, File, File)> {
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let ((stdout, stdout_end), (stderr, stderr_end)) = (pipe()?, pipe()?);
    let (ready, ready_end) = pipe()?;
    rustix::io::ioctl_fionbio(&ready, true)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let null = null.as_raw_fd();
    let descriptors = [
        null,
        null,
        null,
        stdout.as_raw_fd(),
        stderr.as_raw_fd(),
        ready_end.as_raw_fd(),
    ];
    let program = CString::new(uri.program.as_os_str().as_bytes())?;
    let arguments: Vec<CString> = uri
        .arguments
        .iter()
        .map(|argument| CString::new(argument.as_str()))
        .collect::<Result<_, _>>()?;
    let mut argv = vec![program.as_c_str()];
    argv.extend(arguments.iter().map(CString::as_c_str));
    let id = CString::new(format!("CONTAINER_ID={}", owner.process.event_id()))?;
    let namespace = CString::new(format!("CONTAINER_NAMESPACE={}", owner.namespace))?;
    let environment = [id.as_c_str(), namespace.as_c_str()];
    let birth = Birth {
        pid_namespace: &PidNamespace::Host,
        cgroup: None,
    };
    let pid = spawn::fork(birth, || {
        let failed = spawn::exec_with(&program, &argv, &environment, &descriptors);
        let said = [FAILED, failed.to_string().as_bytes()].concat();
        // SAFETY: the last of the descriptors is the pipe, wherever it is by now, and the bytes are those of `said`.
        unsafe { libc::write(failed.last, said.as_ptr().cast(), said.len()) };
        spawn::end_child()
    })?;
    let logger = Logger {
        process: owner.process.clone(),
        pid,
        program: uri.program.display().to_string(),
        strict: uri.strict,
        ready: Some(ready.into()),
        next: None,
    };
    Ok((logger, stdout_end.into(), stderr_end.into()))
}

impl Logger {
    /// What to poll for reading, until it is ready.
    #[must_use]
    pub fn source(&self) -> Option<BorrowedFd<'_>> {
        self.ready.as_ref().map(AsFd::as_fd)
    }

    /// Whether the guest may start.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.is_none()
    }

    /// It says something: that it is ready, or why it never will be. `None` if neither yet.
    pub fn on_ready(&mut self) -> Option<Result<(), String>> {
        // Any byte means ready, and so does the end of the pipe; only our own child says more, and all at once
        // (pipe(7), PIPE_BUF).
        let mut said = [0; 512];
        let read = self.ready.as_mut()?.read(&mut said);
        if let Err(error) = &read
            && matches!(
                error.kind(),
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
            )
        {
            return None;
        }
        self.ready = None;
        let said = &said[..read.unwrap_or_default()];
        let failed = |reason: &str| Some(Err(format!("logger {}: {reason}", self.program)));
        match said.strip_prefix(FAILED) {
            Some(reason) => failed(&String::from_utf8_lossy(reason)),
            None if self.strict && said.is_empty() => {
                failed("hung up without saying that it is ready; it may have crashed")
            }
            None => Some(Ok(())),
        }
    }

    /// When to call [`Logger::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.next.map(|(at, _)| at)
    }

    /// Asks a logger to end that goes on without a guest, then makes it.
    pub fn on_time(&mut self, now: Instant) {
        let Some((_, signal)) = self.next.take_if(|(at, _)| *at <= now) else {
            return;
        };
        if self.pid > 0 {
            // Not reaped yet, so the number is its own.
            let _ = signals::send(self.pid, signal);
            self.next = Some((now + LAST_GRACE, libc::SIGKILL));
        }
    }

    /// Its guest has ended, or never was.
    pub fn dismiss(&mut self, now: Instant) {
        self.ready = None;
        self.next.get_or_insert((now + GRACE, libc::SIGTERM));
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        if self.pid > 0 {
            // Nobody looks after it any more.
            let _ = signals::send(self.pid, libc::SIGTERM);
        }
    }
}
