//! How fast pods start, how little they take and how much they serve, measured through CRI on a node without a kubelet.
//!
//! ```text
//! run:  slipway-bench ── CRI ──► containerd ──► runc, crun, slipway      all in one run, in turns
//!             └─ inotify, container events, /proc, cgroups, HTTP ─┘ ──► results as JSON
//! show: JSON ──► a table, and the block of docs/benchmarks.md
//! ```
//!
//! Who measures only observes: nothing here fails because something is slow. `docs/benchmarks.md` says what each number is.

mod alone;
pub mod args;
mod cache;
mod churn;
mod cri;
mod exits;
mod goals;
mod http;
mod life;
mod load;
mod log_watch;
mod machine;
pub mod markdown;
mod memory;
mod processes;
mod report;
mod response;
mod results;
mod rounds;
mod session;
mod statistics;
mod subject;
pub mod table;

use std::io::Write;

use anyhow::{Context as _, Result};

use crate::args::{Args, Command, Show};
use crate::results::Results;

/// Does what the command line says.
///
/// # Errors
/// When the node is not as it should be, or pods keep failing.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Run(args) => {
            let json = args.json.clone();
            let results = session::measure(*args)?;
            let text = serde_json::to_string_pretty(&results)?;
            std::fs::write(&json, text).with_context(|| json.display().to_string())
        }
        Command::Show(args) => show(&args),
    }
}

/// Prints the results of a run, and writes them into a page.
fn show(args: &Show) -> Result<()> {
    let text = std::fs::read_to_string(&args.json)
        .with_context(|| format!("results {}", args.json.display()))?;
    let results: Results =
        serde_json::from_str(&text).with_context(|| format!("results {}", args.json.display()))?;
    let sections = report::sections(&results);
    say(&report::text(&sections));
    if let Some(path) = &args.markdown {
        let page = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let page = markdown::replace_block(&page, "bench", &report::markdown(&sections))
            .with_context(|| path.display().to_string())?;
        std::fs::write(path, page).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// A line for who waits.
fn say(line: &str) {
    // Without a standard output there is nobody to tell.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
