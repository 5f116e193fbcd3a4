//! Everything a guest writes is in its log, once and in order.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::passed;
use crate::cri::{Empty, Id};
use crate::node::Node;
use crate::report::Outcome;

pub(super) fn both_streams_in_order(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("job.wasm", &["--lines", "2000"])?;
    container.ends_with(0)?;
    let wanted = |word: &str| {
        (1..=2000)
            .map(|n| format!("{word} {n}"))
            .collect::<Vec<_>>()
    };
    let mut out = container.output("stdout")?;
    out.retain(|line| line.starts_with("out "));
    ensure!(
        out == wanted("out"),
        "{} lines of standard output",
        out.len()
    );
    let err = container.output("stderr")?;
    ensure!(
        err == wanted("err"),
        "{} lines of standard error",
        err.len()
    );
    pod.remove()?;
    passed()
}

pub(super) fn a_line_without_an_end_is_kept(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("flood.wasm", &["--no-newline", "an end that is none"])?;
    container.ends_with(0)?;
    let out = container.output("stdout")?;
    ensure!(out == ["an end that is none"], "the log has {out:?}");
    pod.remove()?;
    passed()
}

pub(super) fn a_log_is_reopened(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    container.says("tick 1")?;
    let old = container.log.with_extension("old");
    std::fs::rename(&container.log, &old)?;
    let id = Id {
        id: container.id.clone(),
    };
    node.runtime.cri::<Empty>("ReopenContainerLog", &id)?;
    container.says("tick")?;
    let last = crate::log::read(&old)?.len();
    container.says(&format!("tick {}", last + 1))?;
    pod.remove()?;
    passed()
}

pub(super) fn megabytes_without_loss(node: &Node) -> Result<Outcome> {
    flood(node, 32, Duration::from_secs(60))
}

pub(super) fn a_gigabyte_without_loss(node: &Node) -> Result<Outcome> {
    flood(node, 1024, Duration::from_secs(600))
}

/// A guest writes numbered lines of 1 KiB as fast as it can; all of them are in the log, each once.
fn flood(node: &Node, mebibytes: u64, limit: Duration) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("flood.wasm", &[&mebibytes.to_string()])?;
    let status = container.ended_within(limit)?;
    ensure!(status.exit_code == 0, "it ended with {}", status.exit_code);
    let file = File::open(&container.log).with_context(|| container.log.display().to_string())?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut line = String::new();
    let mut count = 0;
    while reader.read_line(&mut line)? > 0 {
        count += 1;
        // time, stream, tag, and what the guest wrote: a number with leading zeros up to 1023 characters.
        let text = line
            .trim_end_matches('\n')
            .splitn(4, ' ')
            .nth(3)
            .unwrap_or_default();
        ensure!(
            text.len() == 1023 && text.trim_start_matches('0') == count.to_string(),
            "line {count} of the log is {:?}",
            line.get(..120).unwrap_or(&line)
        );
        line.clear();
    }
    ensure!(
        count == mebibytes << 10,
        "{count} lines, not {}",
        mebibytes << 10
    );
    pod.remove()?;
    std::fs::remove_file(&container.log)?;
    passed()
}
