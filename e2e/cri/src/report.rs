//! Runs the cases and says how they went: a line each, and a closing line.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::args::Args;
use crate::cases::{CASES, Case, Length};
use crate::node::Node;

/// Runs what the arguments ask for.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    if args.list {
        for case in CASES {
            let name = format!("{}::{}", case.group, case.name);
            say(&format!("{name:<60} {}", case.shows));
        }
        return ExitCode::SUCCESS;
    }
    crate::wait::be_patient(args.patience);
    let chosen: Vec<&Case> = CASES.iter().filter(|case| chosen(case, &args)).collect();
    let node = match Node::new(args) {
        Ok(node) => node,
        Err(error) => {
            say(&format!("error: {error:#}"));
            return ExitCode::FAILURE;
        }
    };
    let mut failed = Vec::new();
    let mut skipped = 0;
    for case in &chosen {
        let begun = Instant::now();
        let result = alone(&node, case);
        let took = begun.elapsed().as_secs_f64();
        match result {
            Ok(Outcome::Passed) => say(&format!("ok    {:<50} {took:>6.1}s", case.name)),
            Ok(Outcome::DoesNotApply(why)) => {
                skipped += 1;
                say(&format!("skip  {:<50} {why}", case.name));
            }
            Err(error) => {
                say(&format!("FAIL  {:<50} {took:>6.1}s {error:#}", case.name));
                failed.push(case.name);
            }
        }
    }
    let passed = chosen.len() - failed.len() - skipped;
    for name in &failed {
        say(&format!("failed: {name}"));
    }
    say(&format!(
        "containerd {}: {passed} passed, {} failed, {skipped} do not apply",
        node.version,
        failed.len()
    ));
    if failed.is_empty() && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How a case ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// There is nothing to ask of this node, and why.
    DoesNotApply(String),
}

fn chosen(case: &Case, args: &Args) -> bool {
    let name = format!("{}::{}", case.group, case.name);
    let within = |words: &[String]| words.iter().any(|word| name.contains(word.as_str()));
    (args.filter.is_empty() || within(&args.filter))
        && !within(&args.skip)
        && (args.long || case.length == Length::Short)
}

/// Runs a case on a node that is ready, and compares what is there before and after.
fn alone(node: &Node, case: &Case) -> Result<Outcome> {
    node.runtime.wait_ready()?;
    let before = node.begin();
    let result = (case.run)(node);
    if result.is_err() {
        // The next case starts from a node that works.
        if node.runtime.process().is_err() {
            let _ = node.runtime.start();
        }
        let _ = node.sweep(&[]);
    }
    let outcome = result?;
    node.nothing_is_left(&before)?;
    Ok(outcome)
}

fn say(line: &str) {
    // Without a standard output there is nobody to tell.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
