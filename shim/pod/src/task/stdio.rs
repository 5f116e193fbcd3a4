//! A container's standard streams.
//!
//! containerd makes the FIFOs and reads or writes their other ends. The worker gets plain ends; this process keeps
//! ends of its own, so that the guest sees neither EPIPE nor end of file while containerd restarts. When the guest
//! has ended they are let go, but not before somebody reads: a FIFO forgets its bytes with its last descriptor.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use rustix::event::{PollFd, PollFlags};

use super::terminal::{self, Terminal};

/// The paths of a `Create` request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// Empty for none.
    pub stdin: String,
    /// Empty for none.
    pub stdout: String,
    /// Empty for none.
    pub stderr: String,
}

/// A stream that cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StdioError {
    /// A logging driver, for instance.
    #[error("{stream} {uri:?}: {scheme} logging is not supported; use a FIFO, file:// or nothing")]
    Scheme {
        /// Which stream.
        stream: &'static str,
        /// What was asked for.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// It could not be opened.
    #[error("{stream} {path:?}: {source}")]
    Open {
        /// Which stream.
        stream: &'static str,
        /// Which path.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// The worker's ends: for the child only, closed in this process once it is born.
#[derive(Debug)]
pub struct Ends {
    stdin: File,
    stdout: File,
    stderr: File,
    terminal: bool,
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

/// This process's ends.
#[derive(Debug, Default)]
pub struct Keepers {
    stdin: Option<File>,
    outputs: Vec<Output>,
    /// What to copy between once there is a terminal: input and output.
    copied: Option<(Option<File>, Option<File>)>,
    terminal: Option<Terminal>,
}

/// An output FIFO: the reading end keeps writers alive, the writing end keeps readers waiting.
#[derive(Debug)]
struct Output {
    reader: Option<File>,
    writer: File,
}

/// Opens the streams.
///
/// # Errors
/// [`StdioError`], naming the stream.
pub fn open(paths: &Paths) -> Result<(Ends, Keepers), StdioError> {
    let mut keepers = Keepers::default();
    let stdin = open_stdin(&paths.stdin, &mut keepers)?;
    let stdout = open_output("stdout", &paths.stdout, &mut keepers)?;
    let stderr = if paths.stderr == paths.stdout && !paths.stderr.is_empty() {
        stdout.try_clone().map_err(|source| StdioError::Open {
            stream: "stderr",
            path: paths.stderr.clone(),
            source,
        })?
    } else {
        open_output("stderr", &paths.stderr, &mut keepers)?
    };
    Ok((
        Ends {
            stdin,
            stdout,
            stderr,
            terminal: false,
        },
        keepers,
    ))
}

/// Opens the streams between which a terminal's bytes will be copied: [`Keepers::attach`].
///
/// # Errors
/// [`StdioError`], naming the stream.
pub fn open_for_terminal(paths: &Paths) -> Result<Keepers, StdioError> {
    let mut keepers = Keepers::default();
    let failed = |stream, path: &str, source| StdioError::Open {
        stream,
        path: path.to_owned(),
        source,
    };
    let mut input = None;
    if !paths.stdin.is_empty() {
        let opened = keeper(&paths.stdin, true, true)
            .and_then(|kept| Ok((kept, keeper(&paths.stdin, true, false)?)));
        let (kept, end) = opened.map_err(|error| failed("stdin", &paths.stdin, error))?;
        (keepers.stdin, input) = (Some(kept), Some(end));
    }
    let mut output = None;
    if !paths.stdout.is_empty() {
        let end = open_output("stdout", &paths.stdout, &mut keepers)?;
        // This process must never wait for a reader.
        rustix::io::ioctl_fionbio(&end, true)
            .map_err(|error| failed("stdout", &paths.stdout, error.into()))?;
        output = Some(end);
    }
    keepers.copied = Some((input, output));
    Ok(keepers)
}

/// Makes a terminal and opens the streams it is copied to: for a worker, whose standard streams it is.
///
/// # Errors
/// [`StdioError`], naming the stream.
pub fn open_terminal(paths: &Paths) -> Result<(Ends, Keepers), StdioError> {
    let mut keepers = open_for_terminal(paths)?;
    let made = terminal::pair().and_then(|(master, guest)| {
        keepers.attach(master)?;
        Ends::terminal(guest)
    });
    let ends = made.map_err(|source| StdioError::Open {
        stream: "terminal",
        path: "/dev/ptmx".to_owned(),
        source,
    })?;
    Ok((ends, keepers))
}

fn open_stdin(path: &str, keepers: &mut Keepers) -> Result<File, StdioError> {
    let failed = |source| StdioError::Open {
        stream: "stdin",
        path: path.to_owned(),
        source,
    };
    if path.is_empty() {
        return File::open("/dev/null").map_err(failed);
    }
    // Read-write, for it waits for nobody and keeps the guest from seeing an end of file.
    keepers.stdin = Some(keeper(path, true, true).map_err(failed)?);
    File::open(path).map_err(failed)
}

fn open_output(stream: &'static str, uri: &str, keepers: &mut Keepers) -> Result<File, StdioError> {
    let failed = |source| StdioError::Open {
        stream,
        path: uri.to_owned(),
        source,
    };
    let path = match uri.split_once("://") {
        None | Some(("fifo", _)) => uri.strip_prefix("fifo://").unwrap_or(uri),
        Some(("file", path)) => {
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600);
            return options.open(path).map_err(failed);
        }
        Some((scheme, _)) => {
            return Err(StdioError::Scheme {
                stream,
                uri: uri.to_owned(),
                scheme: scheme.to_owned(),
            });
        }
    };
    let mut options = OpenOptions::new();
    options.write(true);
    if path.is_empty() {
        return options.open("/dev/null").map_err(failed);
    }
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.file_type().is_fifo() {
        return options.append(true).open(path).map_err(failed);
    }
    let reader = keeper(path, true, false).map_err(failed)?;
    let writer = keeper(path, false, true).map_err(failed)?;
    // Blocking, and open at once: there is a reader.
    let end = options.open(path).map_err(failed)?;
    keepers.outputs.push(Output {
        reader: Some(reader),
        writer,
    });
    Ok(end)
}

fn keeper(path: &str, read: bool, write: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(read)
        .write(write)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

impl Keepers {
    /// `CloseIO`: the guest sees the end of its input once containerd has closed its end too.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Gives these streams a terminal's master side to copy from and to.
    ///
    /// # Errors
    /// When it cannot be made non-blocking.
    pub fn attach(&mut self, master: OwnedFd) -> io::Result<()> {
        let (input, output) = self.copied.take().unwrap_or_default();
        self.terminal = Some(Terminal::new(master, input, output)?);
        Ok(())
    }

    /// The terminal, if these are one's streams.
    #[must_use]
    pub fn terminal(&self) -> Option<&Terminal> {
        self.terminal.as_ref()
    }

    /// The terminal, to copy what can be copied.
    pub fn terminal_mut(&mut self) -> Option<&mut Terminal> {
        self.terminal.as_mut()
    }

    /// The guest has ended: lets go of every stream that somebody reads. Returns whether none is left; until then
    /// it wants to be called again.
    pub fn release(&mut self) -> bool {
        (self.stdin, self.copied) = (None, None);
        if let Some(terminal) = &mut self.terminal {
            terminal.finish();
            if !terminal.is_drained() {
                // Our own reading end keeps the FIFO until its reader has made room.
                return false;
            }
            self.terminal = None;
        }
        for output in &mut self.outputs {
            output.reader = None;
        }
        self.outputs.retain(|output| !has_reader(&output.writer));
        self.outputs.is_empty()
    }
}

/// A FIFO's writing end reports an error while nobody reads (poll(2), `POLLERR`).
fn has_reader(writer: &File) -> bool {
    let mut descriptors = [PollFd::from_borrowed_fd(writer.as_fd(), PollFlags::OUT)];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match rustix::event::poll(&mut descriptors, Some(&now)) {
        Ok(_) => !descriptors[0].revents().contains(PollFlags::ERR),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::path::Path;

    use super::*;

    fn fifo(directory: &Path, name: &str) -> String {
        let path = directory.join(name);
        let c_path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path is a C string.
        assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o700) }, 0);
        path.to_str().unwrap().to_owned()
    }

    fn read_end(path: &str) -> File {
        keeper(path, true, false).unwrap()
    }

    #[test]
    fn bytes_wait_for_a_reader_that_comes_after_the_guest_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths {
            stdout: fifo(directory.path(), "out"),
            ..Paths::default()
        };
        let (mut ends, mut keepers) = open(&paths).unwrap();
        ends.stdout.write_all(b"last words").unwrap();
        drop(ends);
        assert!(!keepers.release(), "containerd is away");

        let mut reader = read_end(&paths.stdout);
        assert!(keepers.release(), "containerd is back");
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "last words");
    }

    #[test]
    fn a_reader_that_leaves_does_not_break_the_guests_pipe() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths {
            stdout: fifo(directory.path(), "out"),
            stderr: fifo(directory.path(), "err"),
            ..Paths::default()
        };
        let reader = read_end(&paths.stdout);
        let (mut ends, _keepers) = open(&paths).unwrap();
        drop(reader);
        ends.stdout.write_all(b"still here").unwrap();
        ends.stderr.write_all(b"and here").unwrap();
    }

    #[test]
    fn input_ends_when_both_sides_have_closed_it() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths {
            stdin: fifo(directory.path(), "in"),
            ..Paths::default()
        };
        let (mut ends, mut keepers) = open(&paths).unwrap();
        let mut writer = keeper(&paths.stdin, false, true).unwrap();
        writer.write_all(b"input").unwrap();
        drop(writer);
        keepers.close_stdin();
        let mut text = String::new();
        ends.stdin.read_to_string(&mut text).unwrap();
        assert_eq!(text, "input");
    }

    #[test]
    fn a_logging_driver_is_refused_by_name() {
        let paths = Paths {
            stdout: "binary:///usr/bin/logger?a=b".into(),
            ..Paths::default()
        };
        let error = open(&paths).unwrap_err();
        assert_eq!(
            error.to_string(),
            "stdout \"binary:///usr/bin/logger?a=b\": binary logging is not supported; use a FIFO, file:// or nothing"
        );
    }

    #[test]
    fn absent_paths_are_dev_null_and_files_are_appended_to() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("log");
        let paths = Paths {
            stdout: format!("file://{}", file.display()),
            ..Paths::default()
        };
        let (mut ends, mut keepers) = open(&paths).unwrap();
        ends.stdout.write_all(b"kept").unwrap();
        ends.stderr.write_all(b"lost").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
        assert!(keepers.release());
    }
}
