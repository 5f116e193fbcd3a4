//! Running a program to its end: captured, with a deadline, and with its last words in the error.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// What a program that ended left behind.
#[derive(Debug)]
pub struct Output {
    /// True for exit status 0.
    pub ok: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs `program` with `input` on its standard input and returns what it said, whatever its exit status.
///
/// # Errors
/// When it cannot be started or is not done within `patience` (it is killed then).
pub async fn run<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: &[A],
    input: &str,
    patience: Duration,
) -> Result<Output> {
    let program = program.as_ref();
    let name = program.to_string_lossy();
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input closes the pipe: its exit status tells the story.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = timeout(patience, child.wait_with_output())
        .await
        .with_context(|| format!("{name} was not done after {} s", patience.as_secs()))?
        .with_context(|| format!("wait for {name}"))?;
    Ok(Output {
        ok: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// As [`run`], and an exit status other than 0 is an error. Returns the standard output.
///
/// # Errors
/// As [`run`], and with the program's standard error when it fails.
pub async fn check<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: &[A],
    input: &str,
    patience: Duration,
) -> Result<String> {
    let program = program.as_ref();
    let output = run(program, args, input, patience).await?;
    if !output.ok {
        bail!(
            "{} failed: {}",
            program.to_string_lossy(),
            output.stderr.trim()
        );
    }
    Ok(output.stdout)
}
