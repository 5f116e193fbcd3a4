//! Compilations under way. Each is a process of its own (`slipway-compile`), which outlives the container that asked:
//! the next one finds the code in the cache.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use slipway_shim_cache::{Digest, Namespace};

use crate::containerd::Containerd;
use crate::programs::Programs;
use crate::signals;
use crate::spawn::Pid;
use crate::task::ProcessId;

/// How long a compilation may take once its turn has come, twice what the compiler gives itself.
pub const DEADLINE: Duration = Duration::from_secs(600);

/// How long it may wait for its turn: others on the node come first, and whoever is killed while it waits loses its place. A
/// compiler that waits holds no more than a process.
pub const PATIENCE: Duration = Duration::from_secs(4 * 3600);

/// The longest answer that is kept.
const MAX_ANSWER: usize = 8 << 10;

/// The compiler's exit status for a module that cannot be run.
const NOT_RUNNABLE: u32 = 65;

/// The compiler's exit status for an image without wasm layers.
const NO_LAYER: u32 = 66;

/// What is to be compiled.
#[derive(Debug)]
pub enum Module<'a> {
    /// An open file.
    File {
        /// The file.
        wasm: &'a File,
        /// What names the file system it lies on, if its inode is to be remembered.
        namespace: Option<Namespace>,
    },
    /// A layer of the container's image.
    Layer {
        /// Whom to ask for it.
        containerd: &'a Containerd,
        /// The container's command.
        named: &'a str,
        /// What to tell if the image has none.
        otherwise: Otherwise,
    },
}

/// Why a module that is no layer either cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otherwise {
    /// One sentence.
    pub message: String,
    /// The exit status to end with.
    pub exit_code: i32,
}

/// One run of the compiler.
#[derive(Debug)]
pub struct Compilation {
    /// The process that waits for it.
    pub process: ProcessId,
    /// Its worker, by which it is told from another of its name.
    pub worker: Pid,
    /// The module's path, for messages.
    pub path: String,
    /// For a module that was not found as a file.
    otherwise: Option<Otherwise>,
    /// The process.
    pub pid: Pid,
    answer: File,
    received: Vec<u8>,
    open: bool,
    deadline: Instant,
}

/// How a compilation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The code of this module is in the cache.
    Compiled {
        /// The module.
        digest: Digest,
        /// What went wrong beside, for the log.
        note: Option<String>,
    },
    /// The image has no wasm layer.
    NoLayer(Otherwise),
    /// The module's fault, in one sentence.
    NotRunnable(String),
    /// Ours, in one sentence.
    Failed(String),
}

impl Compilation {
    /// Starts the compiler for a process's module.
    ///
    /// # Errors
    /// When there is no pipe or process to be had.
    pub fn start(
        programs: &Programs,
        cache: &Path,
        (process, worker): (ProcessId, Pid),
        path: String,
        module: &Module<'_>,
    ) -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        let mut arguments = vec![c"--cache".to_owned(), crate::spawn::c_path(cache)?];
        let mut option = |name: &str, value: &str| {
            arguments.extend([CString::new(name)?, CString::new(value)?]);
            io::Result::Ok(())
        };
        let (wasm, otherwise) = match module {
            Module::File { wasm, namespace } => {
                if let Some(namespace) = namespace {
                    option("--identity", &namespace.to_string())?;
                }
                (Some(wasm.as_raw_fd()), None)
            }
            Module::Layer {
                containerd,
                named,
                otherwise,
            } => {
                option("--containerd", &containerd.address)?;
                option("--namespace", &containerd.namespace)?;
                option("--container", &process.task)?;
                option("--named", named)?;
                (None, Some(otherwise.clone()))
            }
        };
        let pid = programs.spawn_compiler(&arguments, wasm, writer.as_raw_fd())?;
        Ok(Self {
            process,
            worker,
            path,
            otherwise,
            pid,
            answer: File::from(reader),
            received: Vec::new(),
            open: true,
            deadline: Instant::now() + PATIENCE,
        })
    }

    /// What to poll for reading.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.answer.as_fd()
    }

    /// When it will have waited, or taken, too long.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Ends a compilation that takes too long; its end is told like any other's.
    pub fn on_time(&mut self, now: Instant) {
        if now >= self.deadline {
            // Not reaped yet, so the number is still its own. Killing again does no harm.
            let _ = signals::send(self.pid, libc::SIGKILL);
            self.deadline = now + DEADLINE;
        }
    }

    /// Whether more of the answer may come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Reads what the compiler wrote.
    pub fn on_ready(&mut self) {
        let mut chunk = [0u8; 1024];
        loop {
            match self.answer.read(&mut chunk) {
                Ok(0) => {
                    self.open = false;
                    return;
                }
                Ok(read) => {
                    // Its first byte says that its turn has come.
                    if self.received.is_empty() {
                        self.deadline = Instant::now() + DEADLINE;
                    }
                    let room = MAX_ANSWER.saturating_sub(self.received.len()).min(read);
                    self.received.extend_from_slice(&chunk[..room]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.open = error.kind() == io::ErrorKind::WouldBlock;
                    return;
                }
            }
        }
    }

    /// What came of it, once the process has ended with `status`.
    #[must_use]
    pub fn outcome(mut self, status: u32) -> Outcome {
        self.on_ready();
        let outcome = outcome(status, &self.received, &self.path);
        match self.otherwise {
            Some(otherwise) => of_layer(outcome, status, otherwise),
            None => outcome,
        }
    }
}

/// The same for a layer, of which the user may know nothing: the file that is missing is told first.
fn of_layer(outcome: Outcome, status: u32, otherwise: Otherwise) -> Outcome {
    match outcome {
        _ if status == NO_LAYER => Outcome::NoLayer(otherwise),
        Outcome::Failed(reason) => Outcome::Failed(format!("{}; {reason}", otherwise.message)),
        other => other,
    }
}

fn outcome(status: u32, answer: &[u8], path: &str) -> Outcome {
    let answer = String::from_utf8_lossy(answer);
    let answer = answer.trim();
    match status {
        0 => {
            let (digest, note) = answer.split_once('\n').unwrap_or((answer, ""));
            match digest.parse() {
                Ok(digest) => Outcome::Compiled {
                    digest,
                    note: (!note.is_empty()).then(|| note.to_owned()),
                },
                Err(error) => Outcome::Failed(format!("{path}: slipway-compile: {error}")),
            }
        }
        NOT_RUNNABLE if !answer.is_empty() => Outcome::NotRunnable(format!("{path}: {answer}")),
        137 if answer.is_empty() => Outcome::Failed(format!(
            "{path}: slipway-compile was killed: it took longer than {} minutes, or the node is short of memory",
            DEADLINE.as_secs() / 60
        )),
        status if answer.is_empty() => {
            Outcome::Failed(format!("{path}: slipway-compile ended with {status}"))
        }
        _ => Outcome::Failed(format!("{path}: {answer}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_time_of_a_compilation_is_counted_from_its_turn_on() {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let begun = Instant::now();
        let mut compilation = Compilation {
            process: ProcessId {
                task: "t".into(),
                exec: None,
            },
            worker: 0,
            path: "/a.wasm".into(),
            otherwise: None,
            // Nothing here is sent a signal.
            pid: 0,
            answer: File::from(reader),
            received: Vec::new(),
            open: true,
            deadline: begun + PATIENCE,
        };
        compilation.on_ready();
        assert_eq!(compilation.deadline(), begun + PATIENCE);
        let mut writer = File::from(writer);
        writer.write_all(b"\n").unwrap();
        compilation.on_ready();
        let deadline = compilation.deadline();
        assert!(deadline >= begun + DEADLINE && deadline < begun + PATIENCE);
        writer.write_all(b"is too much\n").unwrap();
        drop(writer);
        compilation.on_ready();
        assert_eq!(compilation.deadline(), deadline);
        assert!(!compilation.is_open());
        assert_eq!(
            compilation.outcome(65),
            Outcome::NotRunnable("/a.wasm: is too much".into())
        );
    }

    #[test]
    fn each_end_is_told_apart_and_names_the_file() {
        let digest = "0".repeat(63) + "1";
        for (rest, note) in [
            ("", None),
            ("cache: no room", Some("cache: no room".into())),
        ] {
            let digest = digest.parse().unwrap();
            assert_eq!(
                outcome(0, format!("{digest}\n{rest}\n").as_bytes(), "/a.wasm"),
                Outcome::Compiled { digest, note }
            );
        }
        assert_eq!(
            outcome(65, b"not wasm: looks like text\n", "/a.wasm"),
            Outcome::NotRunnable("/a.wasm: not wasm: looks like text".into())
        );
        assert_eq!(
            outcome(1, b"no space left", "/a.wasm"),
            Outcome::Failed("/a.wasm: no space left".into())
        );
        assert!(matches!(outcome(0, b"junk", "/a.wasm"), Outcome::Failed(_)));
        let otherwise = Otherwise {
            message: "/a.wasm: no such file".into(),
            exit_code: 127,
        };
        let layer = |outcome, status| of_layer(outcome, status, otherwise.clone());
        let none = layer(outcome(66, b"none", "/a.wasm"), 66);
        assert_eq!(none, Outcome::NoLayer(otherwise.clone()));
        assert_eq!(
            layer(outcome(70, b"containerd: gone", "/a.wasm"), 70),
            Outcome::Failed("/a.wasm: no such file; /a.wasm: containerd: gone".into())
        );
        assert!(
            matches!(outcome(137, b"", "/a.wasm"), Outcome::Failed(m) if m.contains("10 minutes"))
        );
    }
}
