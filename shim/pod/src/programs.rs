//! The programs beside this one: `slipway-worker` and `slipway-compile`, installed in one directory.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use slipway_shim_spec::PidNamespace;
use slipway_shim_wire::{Channel, ToPod};

use crate::spawn::{self, Birth, NotExecuted, Pid};
use crate::task::stdio::Ends;

/// Where this program and its siblings are.
#[derive(Debug, Clone)]
pub struct Programs {
    own: PathBuf,
    worker: CString,
    compiler: CString,
}

impl Programs {
    /// Finds them beside `/proc/self/exe`.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub fn find() -> io::Result<Self> {
        let own = std::fs::read_link("/proc/self/exe")?;
        Ok(Self {
            worker: spawn::c_path(&own.with_file_name("slipway-worker"))?,
            compiler: spawn::c_path(&own.with_file_name("slipway-compile"))?,
            own,
        })
    }

    /// This program's own path.
    #[must_use]
    pub fn own(&self) -> &std::path::Path {
        &self.own
    }

    /// Starts a worker, which waits for its plan.
    ///
    /// # Errors
    /// When there is no process to be had. A program that cannot be executed is told by the channel:
    /// [`ToPod::SetupFailed`].
    pub fn spawn_worker(&self, birth: Birth<'_>, ends: &Ends) -> io::Result<(Pid, Channel)> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let [stdin, stdout, stderr] = ends.raw();
        let descriptors = [stdin, stdout, stderr, theirs.as_raw_fd()];
        let pid = spawn::fork(birth, || {
            let failed = match ends.take_control() {
                Ok(()) => spawn::exec(&self.worker, &[c"slipway-worker"], &descriptors),
                Err(error) => NotExecuted {
                    error,
                    last: theirs.as_raw_fd(),
                },
            };
            // SAFETY: the last of the descriptors is the channel, wherever it is by now; nothing else in this child,
            // which ends below without dropping anything, uses or closes that number.
            let channel = Channel::new(unsafe { OwnedFd::from_raw_fd(failed.last) });
            let message = format!("{}: {failed}", self.worker.to_string_lossy());
            let _ = channel.send(&ToPod::SetupFailed { message }, None);
            spawn::end_child()
        })?;
        Ok((pid, Channel::new(ours)))
    }

    /// Starts the compiler with the module, if it is a file, as descriptor 3 and its answer's pipe as 4, apart from any pod: its
    /// cgroup and PID namespace are this process's.
    ///
    /// # Errors
    /// When there is no process to be had.
    pub fn spawn_compiler(
        &self,
        arguments: &[CString],
        wasm: Option<RawFd>,
        answer: RawFd,
    ) -> io::Result<Pid> {
        let null = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        let null = null.as_raw_fd();
        let birth = Birth {
            pid_namespace: &PidNamespace::Host,
            cgroup: None,
        };
        let mut all = vec![c"slipway-compile"];
        all.extend(arguments.iter().map(CString::as_c_str));
        let wasm = wasm.unwrap_or(null);
        spawn::fork(birth, || {
            let failed = spawn::exec(&self.compiler, &all, &[null, null, null, wasm, answer]);
            let message = format!("{}: {failed}", self.compiler.to_string_lossy());
            // SAFETY: the last of the descriptors is the pipe, wherever it is by now, and the bytes are the message's.
            unsafe { libc::write(failed.last, message.as_ptr().cast(), message.len()) };
            spawn::end_child()
        })
    }
}
