//! The installer run in a node as a person would run it, and killed there at a step of its own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::node::Inside;
use crate::wait::until;

/// Where its program and payload are kept in the node.
const FOLDER: &str = "/var/lib/slipway-e2e-installer";

/// The journal's open transaction, which is removed by the commit or the rollback.
const OPEN: &str = "/var/lib/slipway/journal/open.json";
const INSTALLED: &str = "/var/lib/slipway/journal/installed.json";

const KILL_AFTER: &str = include_str!("kill_after.pl");

/// What the installer is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Put the shim there.
    Install,
    /// Take it away.
    Uninstall,
}

/// What becomes of the watchdog of an installer that is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watchdog {
    /// It does its work.
    Left,
    /// It is killed, too: nobody but the next run ends the transaction.
    Killed,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// `done`, `unchanged`, `refused`, `rolledBack` or `failed`.
    pub outcome: String,
    /// CamelCase.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// The installer of one node, for one shim among those of the node.
#[derive(Debug, Clone)]
pub struct Installer {
    inside: Inside,
    shim: String,
}

impl Installer {
    /// Takes away what a killed run of a test has left of the shim, and of the installer itself.
    ///
    /// # Errors
    /// When the node cannot be entered, or the shim does not go.
    pub async fn sweep(inside: &Inside, shim: &str) -> Result<()> {
        let left = Self {
            inside: inside.clone(),
            shim: shim.to_owned(),
        };
        let script = format!(
            "if [ -x {FOLDER}/slipway-node-installer ]; then\n\
             {} </dev/null 2>{FOLDER}/log || {{ cat {FOLDER}/log >&2; exit 1; }}\n\
             fi\n\
             rm -rf {FOLDER}\n",
            left.command(Operation::Uninstall)
        );
        inside.bash(&script).await.map(|_| ())
    }

    /// Takes program and payload from what an install has placed on the node: the one shim that stands there.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub async fn of(inside: &Inside, shim: &str) -> Result<Self> {
        let script = format!(
            "rm -rf {FOLDER}; install -d {FOLDER}\n\
             found=(/opt/slipway/*/slipway-node-installer)\n\
             [ ${{#found[@]}} = 1 ] || {{ echo \"not one payload: ${{found[*]}}\" >&2; exit 1; }}\n\
             cp -a \"${{found[0]%/*}}\" {FOLDER}/payload\n\
             mv {FOLDER}/payload/slipway-node-installer {FOLDER}/\n"
        );
        inside.bash(&script).await?;
        Ok(Self {
            inside: inside.clone(),
            shim: shim.to_owned(),
        })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it leaves no report.
    pub async fn run(&self, operation: Operation) -> Result<Report> {
        let script = format!(
            "rm -f {FOLDER}/report\n\
             {} </dev/null 2>{FOLDER}/log || true\n\
             cat {FOLDER}/report || {{ cat {FOLDER}/log >&2; exit 1; }}\n",
            self.command(operation)
        );
        let text = self.inside.bash(&script).await?;
        let report: Value = serde_json::from_str(&text).context("its report is no JSON")?;
        let field = |name: &str| report[name].as_str().unwrap_or_default().to_owned();
        Ok(Report {
            outcome: field("outcome"),
            reason: field("reason"),
            message: field("message"),
        })
    }

    /// As [`Self::run`], where any other outcome is an error. Returns the report.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub async fn run_to(&self, operation: Operation, outcome: &str) -> Result<Report> {
        let report = self.run(operation).await?;
        ensure!(
            report.outcome == outcome,
            "{operation:?} was to end as {outcome}: {report:?}"
        );
        Ok(report)
    }

    /// Kills it (SIGKILL) when all of a step is done and nothing of the next one is begun. Steps are named as the
    /// installer logs them; one that ends in `...` is the first that begins so.
    ///
    /// # Errors
    /// When it ends before that.
    pub async fn killed_after(
        &self,
        operation: Operation,
        step: &str,
        watchdog: Watchdog,
    ) -> Result<()> {
        let watchdog = match watchdog {
            Watchdog::Left => "left",
            Watchdog::Killed => "killed",
        };
        let script = format!(
            "perl -w - '{step}' {watchdog} {} <<'END'\n{KILL_AFTER}\nEND\n",
            self.command(operation)
        );
        let killed = self.inside.bash(&script).await;
        killed
            .map(|_| ())
            .with_context(|| format!("{operation:?}, to be killed after {step:?}"))
    }

    /// How far the open transaction is: `prepared`, `applied`, `proven`, `rollingBack`; none if none is open.
    ///
    /// # Errors
    /// When the node cannot be entered.
    pub async fn open_stage(&self) -> Result<Option<String>> {
        let open = self.read(OPEN).await?;
        Ok(open.map(|open| open["stage"].as_str().unwrap_or_default().to_owned()))
    }

    /// Waits until no transaction is open: the watchdog has ended it.
    ///
    /// # Errors
    /// When it has not in time.
    pub async fn until_closed(&self, patience: Duration) -> Result<()> {
        until("the watchdog to end the transaction", patience, || async {
            Ok(match self.open_stage().await? {
                None => Ok(()),
                Some(stage) => Err(format!("it is {stage}")),
            })
        })
        .await
    }

    /// Whether the journal says that the shim stands on the node.
    ///
    /// # Errors
    /// When the node cannot be entered.
    pub async fn is_installed(&self) -> Result<bool> {
        let installed = self.read(INSTALLED).await?;
        Ok(installed.is_some_and(|all| !all["shims"][&self.shim].is_null()))
    }

    async fn read(&self, path: &str) -> Result<Option<Value>> {
        // Read whole or not there: it is replaced by a rename.
        let script = format!("cat {path} 2>/dev/null || [ ! -e {path} ]");
        let text = self.inside.bash(&script).await?;
        if text.is_empty() {
            return Ok(None);
        }
        Ok(Some(
            serde_json::from_str(&text).with_context(|| format!("{path} is no JSON"))?,
        ))
    }

    fn command(&self, operation: Operation) -> String {
        let shim = &self.shim;
        let more = match operation {
            Operation::Install => format!("install --payload {FOLDER}/payload --handler {shim}"),
            Operation::Uninstall => "uninstall".to_owned(),
        };
        format!(
            "{FOLDER}/slipway-node-installer {more} --host-root / --shim {shim} --report {FOLDER}/report"
        )
    }
}
