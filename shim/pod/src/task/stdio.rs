//! A container's standard streams.
//!
//! containerd makes the FIFOs and reads or writes their other ends. The worker gets plain ends; this process keeps
//! ends of its own, so that the guest sees neither EPIPE nor end of file while containerd restarts. When the guest
//! has ended they are let go, but not before somebody reads: a FIFO forgets its bytes with its last descriptor.
//!
//! Instead of FIFOs the outputs may go to a file or to a logging program ([`logger`]), and then both go there, as with
//! containerd's own shim.

mod ends;
mod keepers;
pub mod logger;
mod sink;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::terminal;
pub use ends::Ends;
pub use keepers::Keepers;
use keepers::Output;
pub use logger::{Logger, Owner};
use sink::Sink;

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
    /// A scheme of another runtime's.
    #[error(
        "{stream} {uri:?}: {scheme} logging is not supported; use a FIFO, file://, binary:// or nothing"
    )]
    Scheme {
        /// Which stream.
        stream: &'static str,
        /// What was asked for.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// A URI that makes no sense.
    #[error("{stream} {uri:?}: {reason}")]
    Uri {
        /// Which stream.
        stream: &'static str,
        /// What was asked for.
        uri: String,
        /// What is wrong with it.
        reason: &'static str,
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

impl StdioError {
    fn open(stream: &'static str, path: &str, source: io::Error) -> Self {
        Self::Open {
            stream,
            path: path.to_owned(),
            source,
        }
    }
}

/// Opens the streams.
///
/// # Errors
/// [`StdioError`], naming the stream.
pub fn open(paths: &Paths, owner: Owner<'_>) -> Result<(Ends, Keepers), StdioError> {
    let mut keepers = Keepers::default();
    let stdin = open_stdin(&paths.stdin, &mut keepers)?;
    let (stdout, stderr) = open_outputs(paths, owner, &mut keepers)?;
    let ends = Ends {
        stdin,
        stdout,
        stderr,
        terminal: false,
    };
    Ok((ends, keepers))
}

/// Opens the streams between which a terminal's bytes will be copied: [`Keepers::attach`].
///
/// # Errors
/// [`StdioError`], naming the stream.
pub fn open_for_terminal(paths: &Paths, owner: Owner<'_>) -> Result<Keepers, StdioError> {
    let mut keepers = Keepers::default();
    let mut input = None;
    if !paths.stdin.is_empty() {
        let opened = keeper(&paths.stdin, true, true)
            .and_then(|kept| Ok((kept, keeper(&paths.stdin, true, false)?)));
        let (kept, end) = opened.map_err(|error| StdioError::open("stdin", &paths.stdin, error))?;
        (keepers.stdin, input) = (Some(kept), Some(end));
    }
    let mut output = None;
    if !paths.stdout.is_empty() {
        let outputs = Paths {
            stderr: String::new(),
            ..paths.clone()
        };
        let (end, _) = open_outputs(&outputs, owner, &mut keepers)?;
        // This process must never wait for a reader.
        rustix::io::ioctl_fionbio(&end, true)
            .map_err(|error| StdioError::open("stdout", &paths.stdout, error.into()))?;
        output = Some(end);
    }
    keepers.copied = Some((input, output));
    Ok(keepers)
}

/// Makes a terminal and opens the streams it is copied to: for a worker, whose standard streams it is.
///
/// # Errors
/// [`StdioError`], naming the stream.
pub fn open_terminal(paths: &Paths, owner: Owner<'_>) -> Result<(Ends, Keepers), StdioError> {
    let mut keepers = open_for_terminal(paths, owner)?;
    let made = terminal::pair().and_then(|(master, guest)| {
        keepers.attach(master)?;
        Ends::terminal(guest)
    });
    let ends = made.map_err(|source| StdioError::open("terminal", "/dev/ptmx", source))?;
    Ok((ends, keepers))
}

fn open_stdin(path: &str, keepers: &mut Keepers) -> Result<File, StdioError> {
    let failed = |source| StdioError::open("stdin", path, source);
    if path.is_empty() {
        return File::open("/dev/null").map_err(failed);
    }
    // Read-write, for it waits for nobody and keeps the guest from seeing an end of file.
    keepers.stdin = Some(keeper(path, true, true).map_err(failed)?);
    File::open(path).map_err(failed)
}

/// Standard output and standard error. A file or a logger named by the first takes both.
fn open_outputs(
    paths: &Paths,
    owner: Owner<'_>,
    keepers: &mut Keepers,
) -> Result<(File, File), StdioError> {
    let failed = |source| StdioError::open("stdout", &paths.stdout, source);
    let sink = Sink::parse("stdout", &paths.stdout)?;
    if let Sink::Logger(uri) = &sink {
        let (logger, stdout, stderr) = logger::start(uri, owner).map_err(failed)?;
        keepers.logger = Some(logger);
        return Ok((stdout, stderr));
    }
    let stdout = open_output(&sink, keepers).map_err(failed)?;
    let both =
        matches!(sink, Sink::File(_)) || (paths.stderr == paths.stdout && !paths.stderr.is_empty());
    let failed = |source| StdioError::open("stderr", &paths.stderr, source);
    let stderr = if both {
        stdout.try_clone().map_err(failed)?
    } else {
        let sink = Sink::parse("stderr", &paths.stderr)?;
        open_output(&sink, keepers).map_err(failed)?
    };
    Ok((stdout, stderr))
}

fn open_output(sink: &Sink, keepers: &mut Keepers) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    let path: &Path = match sink {
        Sink::Null => return options.open("/dev/null"),
        Sink::Path(path) => path,
        Sink::File(path) => {
            if let Some(directory) = path.parent() {
                let mut builder = DirBuilder::new();
                builder.recursive(true).mode(0o755).create(directory)?;
            }
            return options.append(true).create(true).mode(0o644).open(path);
        }
        Sink::Logger(_) => {
            let what = "a logger is named by stdout, for both outputs";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
    };
    if !std::fs::metadata(path)?.file_type().is_fifo() {
        return options.append(true).open(path);
    }
    let (reader, writer) = (keeper(path, true, false)?, keeper(path, false, true)?);
    // Blocking, and open at once: there is a reader.
    let end = options.open(path)?;
    keepers.outputs.push(Output {
        reader: Some(reader),
        writer,
    });
    Ok(end)
}

fn keeper(path: impl AsRef<Path>, read: bool, write: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(read)
        .write(write)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::path::Path;

    use rustix::event::{PollFd, PollFlags};

    use super::*;
    use crate::task::ProcessId;

    fn open(paths: &Paths) -> Result<(Ends, Keepers), StdioError> {
        let process = ProcessId::first("c");
        let owner = Owner {
            process: &process,
            namespace: "test",
        };
        super::open(paths, owner)
    }

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
    fn absent_paths_are_dev_null() {
        let (mut ends, mut keepers) = open(&Paths::default()).unwrap();
        ends.stdout.write_all(b"lost").unwrap();
        ends.stderr.write_all(b"lost").unwrap();
        assert!(keepers.release());
    }

    #[test]
    fn a_file_takes_both_outputs_and_is_made_with_its_directories() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pods").join("a").join("log");
        let paths = Paths {
            stdout: format!("file://{}", file.display()),
            ..Paths::default()
        };
        for _ in 0..2 {
            let (mut ends, mut keepers) = open(&paths).unwrap();
            ends.stdout.write_all(b"out ").unwrap();
            ends.stderr.write_all(b"err ").unwrap();
            assert!(keepers.release());
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"out err out err ");
    }

    #[test]
    fn a_logger_reads_both_outputs_to_their_end() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("log");
        // Says that it is ready, reads one stream after the other, and tells what it was given.
        let script = format!(
            "echo >%265; exec 5>%26-; cat <%263 >{0}; cat <%264 >>{0}; echo $CONTAINER_ID $CONTAINER_NAMESPACE $0 >>{0}",
            file.display()
        );
        let paths = Paths {
            stdout: format!("binary-v2:///bin/sh?-c={script}&level=9"),
            ..Paths::default()
        };
        let (mut ends, mut keepers) = open(&paths).unwrap();
        let mut logger = keepers.take_logger().unwrap();
        wait_until(&logger);
        assert_eq!(logger.on_ready(), Some(Ok(())));
        assert!(logger.is_ready());
        ends.stdout.write_all(b"out ").unwrap();
        ends.stderr.write_all(b"err ").unwrap();
        drop(ends);
        reap(&mut logger);
        assert_eq!(std::fs::read(&file).unwrap(), b"out err c test level\n");
    }

    #[test]
    fn a_logger_that_cannot_be_had_says_why() {
        for (uri, reason) in [
            (
                "binary:///no/such/logger",
                "logger /no/such/logger: No such file or directory (os error 2)",
            ),
            (
                "binary-v2:///bin/true",
                "logger /bin/true: hung up without saying that it is ready; it may have crashed",
            ),
        ] {
            let paths = Paths {
                stdout: uri.into(),
                ..Paths::default()
            };
            let (_ends, mut keepers) = open(&paths).unwrap();
            let mut logger = keepers.take_logger().unwrap();
            wait_until(&logger);
            assert_eq!(logger.on_ready(), Some(Err(reason.to_owned())));
            reap(&mut logger);
        }
    }

    fn wait_until(logger: &Logger) {
        let mut descriptors = [PollFd::from_borrowed_fd(
            logger.source().unwrap(),
            PollFlags::IN,
        )];
        rustix::event::poll(&mut descriptors, None).unwrap();
    }

    fn reap(logger: &mut Logger) {
        let pid = rustix::process::Pid::from_raw(std::mem::take(&mut logger.pid));
        rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).unwrap();
    }
}
