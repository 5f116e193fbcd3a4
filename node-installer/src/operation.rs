//! The commands, each as a straight line through the other modules.

mod adopt;
mod install;
mod leftovers;
mod placed;
mod recover;
mod restore;
mod running;
mod session;
mod settle;
mod status;
mod uninstall;
mod watch;
mod watchdog;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::args::{Args, Command, NodeArgs};
use crate::failure::Failure;
use crate::host::command;
use crate::report::{Outcome, Report};
use crate::{copy, fetch};

/// Runs a command and reports how it ended.
pub fn run(args: Args) -> ExitCode {
    match args.command {
        Command::Install(args) => on_node("install", &args.node, |report| {
            install::install(&args, report)
        }),
        Command::Uninstall(args) => on_node("uninstall", &args.node, |report| {
            uninstall::uninstall(&args, report)
        }),
        Command::Watchdog(args) => on_node("watchdog", &args.node, |report| {
            watchdog::watch(&args, report)
        }),
        Command::Fetch(args) => reported("fetch", args.report.as_deref(), |report| {
            fetch::run(&args, report)
        }),
        Command::Copy(args) => reported("copy", args.report.as_deref(), |report| {
            copy::run(&args, report)
        }),
        Command::Recover(args) => {
            on_node("recover", &args, |report| recover::recover(&args, report))
        }
        Command::Status(args) => status::print(&args),
        Command::Watch(args) => reported("watch", args.report.as_deref(), |report| {
            watch::watch(&args, report).map_err(|failure| failure.as_on_host(&args.host_root))
        }),
        Command::RunInRoot(args) => {
            let error = command::become_in_root(&args);
            tracing::error!(
                "cannot run {} in {}: {error}",
                args.program.display(),
                args.root.display()
            );
            // As a shell says "cannot be executed".
            ExitCode::from(126)
        }
    }
}

/// Prints what is wrong with the command line, and reports it if the report's place can be told.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if let Some(path) = report_path(
        std::env::args(),
        std::env::var_os("SLIPWAY_REPORT").map(PathBuf::from),
    ) {
        let operation = std::env::args().nth(1).unwrap_or_default();
        let mut report = Report::new(&operation);
        let text = error.to_string();
        report.end(
            Outcome::Refused,
            "Usage",
            text.lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: "),
        );
        let _ = report.write(&path);
    }
    ExitCode::from(2)
}

fn report_path(
    arguments: impl Iterator<Item = String>,
    environment: Option<PathBuf>,
) -> Option<PathBuf> {
    let arguments: Vec<String> = arguments.collect();
    let given =
        arguments
            .iter()
            .enumerate()
            .find_map(|(at, word)| match word.strip_prefix("--report") {
                Some("") => arguments.get(at + 1).cloned(),
                Some(rest) => rest.strip_prefix('=').map(str::to_owned),
                None => None,
            });
    given.map(PathBuf::from).or(environment)
}

/// An operation on the node, whose paths are told as the node has them.
fn on_node(
    operation: &str,
    node: &NodeArgs,
    work: impl FnOnce(&mut Report) -> Result<(), Failure>,
) -> ExitCode {
    reported(operation, node.report.as_deref(), |report| {
        work(report).map_err(|failure| failure.as_on_host(&node.host_root))
    })
}

fn reported(
    operation: &str,
    path: Option<&Path>,
    work: impl FnOnce(&mut Report) -> Result<(), Failure>,
) -> ExitCode {
    let mut report = Report::new(operation);
    // A run that is killed leaves this one.
    write(&report, path);
    if let Err(failure) = work(&mut report) {
        report.fail(&failure);
    }
    match report.outcome {
        Outcome::Done | Outcome::Unchanged => {
            tracing::info!("{}: {}", report.reason, report.message);
        }
        _ => tracing::error!("{}: {}", report.reason, report.message),
    }
    write(&report, path);
    ExitCode::from(report.outcome.exit_code())
}

fn write(report: &Report, path: Option<&Path>) {
    if let Some(path) = path
        && let Err(error) = report.write(path)
    {
        tracing::error!("cannot write the report {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reports_place_is_found_even_if_the_rest_is_wrong() {
        let find = |words: &[&str]| report_path(words.iter().map(|word| (*word).to_owned()), None);
        assert_eq!(
            find(&["x", "install", "--report", "/r"]),
            Some(PathBuf::from("/r"))
        );
        assert_eq!(
            find(&["x", "--report=/r", "--bad"]),
            Some(PathBuf::from("/r"))
        );
        assert_eq!(find(&["x", "--report"]), None);
        assert_eq!(
            report_path(std::iter::empty(), Some("/e".into())),
            Some(PathBuf::from("/e"))
        );
    }
}
