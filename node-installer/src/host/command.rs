//! Runs the host's own binaries, on the host's own root, with a deadline and bounded output.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;

use super::HostRoot;
use crate::args::RunInRootArgs;
use crate::failure::Reason;

/// A `config dump` has some 20 kB.
const MAX_OUTPUT: u64 = 4 * 1024 * 1024;

/// Where host binaries look for their helpers.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program left.
#[derive(Debug, Clone)]
pub struct Output {
    /// Whether it exited with 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// The last thing it said on standard error, for a report.
    pub fn last_words(&self) -> String {
        let lines = |text: &str| {
            text.lines()
                .rev()
                .find(|line| !line.trim().is_empty())
                .map(str::to_owned)
        };
        lines(&self.stderr)
            .or_else(|| lines(&self.stdout))
            .unwrap_or_else(|| "it said nothing".to_owned())
    }
}

/// Why a program of the host did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started or read.
    #[error("cannot run {program} on the host")]
    Run {
        /// The program.
        program: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It was killed.
    #[error("{program} did not end within {} seconds", .limit.as_secs())]
    Timeout {
        /// The program.
        program: PathBuf,
        /// The limit.
        limit: Duration,
    },
}

impl Reason for CommandError {
    fn reason(&self) -> &'static str {
        "HostCommandFailed"
    }
}

/// Runs a program, named by a host path.
pub fn run(
    runtime: &Runtime,
    root: &HostRoot,
    program: &Path,
    arguments: &[&str],
    limit: Duration,
) -> Result<Output, CommandError> {
    let error = |source| CommandError::Run {
        program: program.to_owned(),
        source,
    };
    let mut command = if root.is_own_root() {
        tokio::process::Command::new(program)
    } else {
        // Changing root between fork and exec needs unsafe code; a second start of this program does not.
        let mut command = tokio::process::Command::new("/proc/self/exe");
        command.arg("run-in-root").arg(root.base()).arg(program);
        command
    };
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    runtime.block_on(async {
        let mut child = command.spawn().map_err(error)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let work = async {
            let (stdout, stderr) = futures::join!(read(stdout), read(stderr));
            let status = child.wait().await?;
            Ok(Output {
                success: status.success(),
                stdout: stdout?,
                stderr: stderr?,
            })
        };
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result.map_err(error),
            Err(_) => Err(CommandError::Timeout {
                program: program.to_owned(),
                limit,
            }),
        }
    })
}

async fn read(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
        // What is over the bound is read and dropped, so that the program does not block on a full pipe.
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The hidden command `run-in-root`: changes root and becomes the program. Returns only on failure.
pub fn become_in_root(args: &RunInRootArgs) -> io::Error {
    if let Err(error) =
        std::os::unix::fs::chroot(&args.root).and_then(|()| std::env::set_current_dir("/"))
    {
        return error;
    }
    std::process::Command::new(&args.program)
        .args(&args.arguments)
        .exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_root() -> (Runtime, HostRoot) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        (runtime, HostRoot::new(Path::new("/")).unwrap())
    }

    #[test]
    fn output_and_status_come_back() {
        let (runtime, root) = own_root();
        let script = ["-c", "echo out; echo first >&2; echo last >&2; exit 3"];
        let output = run(
            &runtime,
            &root,
            Path::new("/bin/sh"),
            &script,
            Duration::from_secs(20),
        )
        .unwrap();
        assert!(!output.success);
        assert_eq!(
            (output.stdout.as_str(), output.last_words().as_str()),
            ("out\n", "last")
        );
    }

    #[test]
    fn a_program_that_hangs_is_killed() {
        let (runtime, root) = own_root();
        let limit = Duration::from_millis(100);
        let result = run(
            &runtime,
            &root,
            Path::new("/bin/sh"),
            &["-c", "exec sleep 600"],
            limit,
        );
        assert!(matches!(result, Err(CommandError::Timeout { .. })));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let (runtime, root) = own_root();
        let error = run(
            &runtime,
            &root,
            Path::new("/no/such"),
            &[],
            Duration::from_secs(5),
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "cannot run /no/such on the host");
    }
}
