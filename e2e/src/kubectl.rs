//! The real `kubectl`, for what a person does with it and no API call shows: exec, attach, debug, top, drain.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::command::{self, Output};
use crate::scene::Scene;
use crate::settings::tool;

/// For a command that has its pod already.
const PATIENCE: Duration = Duration::from_secs(60);

impl Scene {
    /// Runs kubectl in the test's namespace and returns what it said, whatever its exit status.
    ///
    /// # Errors
    /// When it cannot be started or hangs.
    pub async fn kubectl(&self, args: &[&str], input: &str) -> Result<Output> {
        let (program, all) = self.kubectl_line(args)?;
        command::run(program, &all, input, PATIENCE).await
    }

    /// As [`Self::kubectl`], where failing is an error. Returns the standard output.
    ///
    /// # Errors
    /// As [`Self::kubectl`], and with kubectl's own words when it fails.
    pub async fn kubectl_ok(&self, args: &[&str]) -> Result<String> {
        let (program, all) = self.kubectl_line(args)?;
        command::check(program, &all, "", PATIENCE)
            .await
            .with_context(|| format!("kubectl {}", args.join(" ")))
    }

    /// Runs kubectl under a terminal of its own (script(1)), types `input` into it, and returns all that was shown.
    ///
    /// # Errors
    /// When it cannot be started or hangs.
    pub async fn kubectl_on_terminal(&self, args: &[&str], input: &str) -> Result<Output> {
        let (program, all) = self.kubectl_line(args)?;
        let line: Vec<String> = std::iter::once(program)
            .chain(all)
            .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
            .collect();
        let args = ["-qec", &line.join(" "), "/dev/null"];
        command::run("script", &args, input, PATIENCE).await
    }

    /// Starts kubectl for what it does until it is ended. It is when what is returned is dropped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn kubectl_start(&self, args: &[&str]) -> Result<Running> {
        let (program, all) = self.kubectl_line(args)?;
        let mut child = Command::new(program)
            .args(all)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start kubectl")?;
        let output = child.stdout.take().context("no standard output")?;
        Ok(Running {
            _child: child,
            output: BufReader::new(output).lines(),
        })
    }

    fn kubectl_line(&self, args: &[&str]) -> Result<(String, Vec<String>)> {
        let program = tool("kubectl", "SLIPWAY_KUBECTL")?;
        let kubeconfig = &self.settings.kubeconfig;
        let mut all = vec![
            "--kubeconfig".to_owned(),
            kubeconfig.display().to_string(),
            "--namespace".to_owned(),
            self.ns.clone(),
        ];
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        Ok((program.display().to_string(), all))
    }
}

/// A kubectl that goes on.
#[derive(Debug)]
pub struct Running {
    _child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// The next lines that it shows.
    ///
    /// # Errors
    /// When it shows fewer, or takes too long.
    pub async fn lines(&mut self, count: usize, patience: Duration) -> Result<Vec<String>> {
        let mut lines = Vec::with_capacity(count);
        let read = async {
            while lines.len() < count {
                let line = self.output.next_line().await?;
                lines.push(line.context("it has ended")?);
            }
            Ok(())
        };
        let outcome = timeout(patience, read).await;
        let outcome = outcome.unwrap_or_else(|_| Err(anyhow!("it takes too long")));
        outcome.with_context(|| format!("kubectl showed {lines:?}"))?;
        Ok(lines)
    }
}
