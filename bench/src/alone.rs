//! A worker without a pod: what of a start is its own.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

/// Started before those that count, so that programs and code are in memory.
const FIRST: u32 = 3;

/// How long a worker may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was measured, in milliseconds, in the order in which it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alone {
    /// From the spawn of a worker with a `hello` to the first byte that it writes.
    pub(crate) first_output: Vec<f64>,
    /// From the spawn of a worker with a server until it listens.
    pub(crate) listening: Vec<f64>,
}

/// Starts workers, `rounds` of each, in turns. `folder` has the program, and what it runs, compiled.
///
/// # Errors
/// When a worker cannot be started, or says nothing in time.
pub(crate) fn measure(folder: &Path, rounds: u32) -> Result<Alone> {
    let mut all = Alone::default();
    for round in 0..FIRST + rounds {
        let times = (first_output(folder)?, listening(folder)?);
        if round >= FIRST {
            all.first_output.push(times.0);
            all.listening.push(times.1);
        }
    }
    Ok(all)
}

fn worker(folder: &Path) -> Command {
    let mut command = Command::new(folder.join("slipway-worker"));
    command.arg("run").stdin(Stdio::null());
    command
}

fn first_output(folder: &Path) -> Result<f64> {
    let mut command = worker(folder);
    command
        .arg(folder.join("hello.cwasm"))
        .stdout(Stdio::piped());
    let begun = Instant::now();
    let mut worker = Killed(command.spawn().context("slipway-worker")?);
    let mut output = worker.0.stdout.take().context("no output")?;
    ensure!(is_readable(&output)?, "a worker says nothing");
    let took = begun.elapsed();
    let read = output.read(&mut [0; 64]).context("slipway-worker")?;
    ensure!(read > 0, "a worker ended without a word");
    Ok(took.as_secs_f64() * 1e3)
}

fn listening(folder: &Path) -> Result<f64> {
    let address = free_address()?;
    let mut command = worker(folder);
    command
        .arg("--env")
        .arg(format!("WASMTIME_HTTP_PROXY_SOCKET_ADDR={address}"))
        .arg(folder.join("hello-http.cwasm"));
    let begun = Instant::now();
    let mut worker = Killed(command.spawn().context("slipway-worker")?);
    // Nothing tells that somebody listens but a connection.
    while TcpStream::connect(address).is_err() {
        ensure!(begun.elapsed() < PATIENCE, "no server on {address}");
        ensure!(worker.0.try_wait()?.is_none(), "a worker has ended");
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Waits until there is something to read, or the end.
fn is_readable(output: &ChildStdout) -> Result<bool> {
    let mut asked = [PollFd::new(output, PollFlags::IN)];
    let late = Timespec::try_from(PATIENCE)?;
    Ok(poll(&mut asked, Some(&late)).context("poll")? > 0)
}

/// Where nobody listens.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("a port")?;
    listener.local_addr().context("a port")
}

/// A process that ends with this value.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // One that has ended already is only waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Another program in place of the worker.
    fn folder(program: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        symlink(program, folder.path().join("slipway-worker")).unwrap();
        folder
    }

    #[test]
    fn the_first_word_counts_and_none_is_an_error() {
        assert!(first_output(folder("/bin/echo").path()).unwrap() > 0.0);
        let error = first_output(folder("/bin/true").path()).unwrap_err();
        assert_eq!(error.to_string(), "a worker ended without a word");
    }

    #[test]
    fn one_that_ends_never_listens() {
        let error = listening(folder("/bin/true").path()).unwrap_err();
        assert_eq!(error.to_string(), "a worker has ended");
    }
}
