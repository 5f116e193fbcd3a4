//! The operator alone, with many nodes: a real etcd and a real API server on this machine, and nodes that are only objects.
//!
//! ```text
//!  slipway-operator ──► kube-apiserver ──► etcd         its own processes, on loopback
//!                          ▲      └─ audit log ──► what the operator asked for, request by request
//!                          └─ nodes that are played here: Jobs run and report, canaries run, kubelets give signs of life
//! ```
//!
//! The operator has the rights that the chart gives it and no others, so a right that is missing ends the run. Nothing
//! here fails because something is slow; `docs/benchmarks.md` says what each number is.

pub mod args;
mod audit;
mod cluster;
mod control_plane;
mod kubelets;
mod measure;
mod nodes;
mod process;
mod report;
mod results;

use std::io::Write as _;

use anyhow::{Context as _, Result};

use crate::args::{Args, Command, Show};
use crate::results::Results;

/// Does what the command line says.
///
/// # Errors
/// When a process cannot be started, or the nodes do not get ready in time.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Run(args) => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            runtime.block_on(measure::measure(&args))
        }
        Command::Show(args) => show(&args),
    }
}

/// Prints the results of a run, and writes them into a page.
fn show(args: &Show) -> Result<()> {
    let json = args.json.display();
    let text = std::fs::read_to_string(&args.json).with_context(|| format!("results {json}"))?;
    let results: Results =
        serde_json::from_str(&text).with_context(|| format!("results {json}"))?;
    // Without a standard output there is nobody to tell.
    let _ = writeln!(std::io::stdout().lock(), "{}", report::text(&results));
    if let Some(path) = &args.markdown {
        let page = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let page = report::replace(&page, &results).with_context(|| path.display().to_string())?;
        std::fs::write(path, page).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
