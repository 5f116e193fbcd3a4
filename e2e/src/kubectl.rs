//! The real `kubectl`, for what a person does with it and no API call shows: exec, debug, top, drain.

use std::time::Duration;

use anyhow::{Context, Result};

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
