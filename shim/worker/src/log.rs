//! A server's stdout or stderr, whose reader may be away: while containerd restarts nobody empties the pipe, and a thread
//! that waited in write(2) would be one that answers requests, probes and signals.
//!
//! As long as the pipe takes it, bytes go there as they are written. What it does not take is kept, and a thread of its own
//! waits with it; it is started then, and ends when it has had nothing to do for a while. When that much is kept that no
//! more may be, whoever writes waits, and nobody else does.

mod streams;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// What a pipe takes at once if it takes anything (pipe(7)).
const PART: usize = libc::PIPE_BUF;
/// So much is kept before guests have to wait.
const KEPT: usize = 64 << 10;
/// And so much more of the server's own lines, which wait for nobody.
const OURS: usize = 32 << 10;
/// How long the thread stays when everything is written, as tokio's do.
const STAY: Duration = Duration::from_secs(10);
/// What it has for a stack.
const STACK: usize = 128 << 10;

/// Where the server's own lines go.
static STDERR: OnceLock<Log> = OnceLock::new();

/// What the server itself writes to, if there is a server.
pub(crate) fn stderr() -> Option<&'static Log> {
    STDERR.get()
}

/// One of the two outputs.
#[derive(Clone)]
pub(crate) struct Log(Arc<Shared>);

struct Shared {
    file: File,
    direct: Direct,
    state: Mutex<State>,
    /// There is something to write, or nothing any more.
    turn: Condvar,
    /// For those who wait for room, or for the end of it all: some of it was written.
    moved: Notify,
}

/// When a [`PART`] can be written without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direct {
    /// Files on a disk, `/dev/null`.
    Always,
    /// When poll(2) says so, of pipes and sockets.
    Asked,
    /// Terminals, of which it says only that there is some room.
    Never,
}

impl Direct {
    fn of(file: &File) -> Self {
        let Ok(kind) = file.metadata().map(|metadata| metadata.file_type()) else {
            return Self::Never;
        };
        if file.is_terminal() {
            Self::Never
        } else if kind.is_file() || kind.is_char_device() {
            Self::Always
        } else {
            Self::Asked
        }
    }
}

#[derive(Default)]
struct State {
    kept: VecDeque<u8>,
    /// There is a thread.
    thread: bool,
    /// It is writing what it has taken out of `kept`.
    writing: bool,
    /// The server's own lines that were not kept.
    lost: usize,
    /// What was wrong when the thread wrote, until somebody has been told.
    failed: Option<io::Error>,
}

impl State {
    fn is_written(&self) -> bool {
        self.kept.is_empty() && !self.writing
    }

    fn has_room(&self) -> bool {
        self.kept.len() < KEPT
    }
}

impl Log {
    /// Of stdout and stderr. Where both are the same, as on a terminal, one could take the room that the other was promised,
    /// so they are one.
    pub(crate) fn both(stdout: File, stderr: File) -> [Self; 2] {
        let same = match (stdout.metadata(), stderr.metadata()) {
            (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
            _ => false,
        };
        let stdout = Self::new(stdout);
        let stderr = if same {
            stdout.clone()
        } else {
            Self::new(stderr)
        };
        [stdout, stderr]
    }

    fn new(file: File) -> Self {
        Self(Arc::new(Shared {
            direct: Direct::of(&file),
            file,
            state: Mutex::default(),
            turn: Condvar::new(),
            moved: Notify::new(),
        }))
    }

    /// The same, to which the server's own lines go from now on.
    pub(crate) fn ours(self) -> Self {
        // Set once; a worker has one server.
        let _ = STDERR.set(self.clone());
        self
    }

    /// Writes a line of the server's own, without waiting. When there is no room for it, it is counted instead.
    pub(crate) fn tell(&self, line: &str) -> io::Result<()> {
        let mut state = self.0.state();
        if !state.is_written() && state.kept.len() + line.len() > KEPT + OURS {
            state.lost += 1;
            return Ok(());
        }
        self.put(state, line.as_bytes())
    }

    /// Waits until everything is written.
    pub(crate) async fn written(&self) {
        self.wait_for(State::is_written).await;
    }

    /// Waits until there is room for a guest's bytes.
    async fn room(&self) {
        self.wait_for(State::has_room).await;
    }

    async fn wait_for(&self, condition: fn(&State) -> bool) {
        loop {
            // Hears of what happens from now on, also between the look and the wait.
            let moved = self.0.moved.notified();
            if condition(&self.0.state()) {
                return;
            }
            moved.await;
        }
    }

    /// As [`Self::written`], for who is no task: holds the thread up.
    pub(crate) fn settle(&self) {
        let state = self.0.state();
        drop(self.0.wait_while(state, |state| !state.is_written()));
    }

    /// Writes what can be written at once and keeps the rest.
    fn put(&self, mut state: MutexGuard<'_, State>, bytes: &[u8]) -> io::Result<()> {
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        let mut rest = bytes;
        // Not past what came before. Under the lock: another's bytes may take the room that there is.
        while state.is_written() && !rest.is_empty() && self.0.takes() {
            match (&self.0.file).write(&rest[..rest.len().min(PART)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        if !state.thread {
            let shared = Arc::clone(&self.0);
            let builder = std::thread::Builder::new().name("log".to_owned());
            // Without one, only waiting is left. Nothing is kept then: a thread ends when nothing is.
            if builder
                .stack_size(STACK)
                .spawn(move || shared.write())
                .is_err()
            {
                return self.0.write_out(rest);
            }
            state.thread = true;
        }
        state.kept.extend(rest);
        drop(state);
        self.0.turn.notify_all();
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        condition: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.turn
            .wait_while(state, condition)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a write of a [`PART`] would not have to wait, be it that it fails. One more system call for each write;
    /// to have the pipe itself say so, its flags would have to be changed, which are everybody's who has it.
    fn takes(&self) -> bool {
        match self.direct {
            Direct::Always => true,
            Direct::Asked => self.poll(0),
            Direct::Never => false,
        }
    }

    /// Whether there is room, or an error, within so many milliseconds; less than none is for ever.
    fn poll(&self, time: libc::c_int) -> bool {
        let mut asked = libc::pollfd {
            fd: self.file.as_raw_fd(),
            events: libc::POLLOUT,
            revents: 0,
        };
        loop {
            // SAFETY: `asked` is one such structure, and valid for the call.
            match unsafe { libc::poll(&raw mut asked, 1, time) } {
                // A signal came, as they do by the processor time.
                -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                ready => return ready != 0,
            }
        }
    }

    /// Writes it, however long that takes.
    fn write_out(&self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match (&self.file).write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else who has it may not want to wait.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.poll(-1);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The thread's work.
    fn write(&self) {
        let mut part = [0; PART];
        let mut state = self.state();
        loop {
            let waited = self
                .turn
                .wait_timeout_while(state, STAY, |state| state.kept.is_empty());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            // There is no error in reading from memory.
            let count = state.kept.read(&mut part).unwrap_or_default();
            if count == 0 {
                state.kept = VecDeque::new();
                state.thread = false;
                return;
            }
            state.writing = true;
            drop(state);
            // Who reads no more is told nothing more: the next one to write sees the error.
            let result = self.write_out(&part[..count]);
            state = self.state();
            state.writing = false;
            if let Err(error) = result {
                state.kept.clear();
                state.failed = Some(error);
            }
            if state.kept.is_empty() && state.lost > 0 {
                let lost = std::mem::take(&mut state.lost);
                let line = format!("slipway: {lost} lines were lost while nobody read the log\n");
                state.kept.extend(line.as_bytes());
            }
            if state.has_room() {
                self.moved.notify_waiters();
            }
            self.turn.notify_all();
        }
    }
}
