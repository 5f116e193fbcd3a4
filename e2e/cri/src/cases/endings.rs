//! How containers end, and what is said about it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::passed;
use crate::cri::ContainerConfig;
use crate::node::Node;
use crate::report::Outcome;

const MEBIBYTE: i64 = 1 << 20;

pub(super) fn an_exit_code_is_kept(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    // `wasi:cli/exit@0.2` tells failure from success, and no more.
    for (guest, said, code) in [("job.wasm", "207", 207), ("job-p2.wasm", "207", 1)] {
        let container = pod.run(guest, &["--lines", "2", "--exit", said])?;
        let status = container.ends_with(code)?;
        ensure!(status.reason == "Error", "reason {:?}", status.reason);
        ensure!(
            container.output("stderr")? == ["err 1", "err 2"],
            "{:?}",
            container.lines()?
        );
    }
    pod.remove()?;
    passed()
}

pub(super) fn sigterm_ends_a_command_with_143(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    for guest in ["ticker.wasm", "spin.wasm"] {
        let container = pod.run(guest, &[])?;
        container.says(if guest == "ticker.wasm" {
            "tick 1"
        } else {
            "spinning"
        })?;
        let begun = Instant::now();
        container.stop(20)?;
        ensure!(
            begun.elapsed() < Duration::from_secs(10),
            "{guest} took its whole grace"
        );
        container.ends_with(143)?;
    }
    pod.remove()?;
    passed()
}

pub(super) fn a_guest_that_never_yields_dies_of_sigkill(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("spin.wasm", &[])?;
    container.says("spinning")?;
    container.stop(0)?;
    let status = container.ends_with(137)?;
    ensure!(status.reason == "Error", "reason {:?}", status.reason);
    pod.remove()?;
    passed()
}

pub(super) fn a_trap_is_told_with_its_backtrace(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("trap.wasm", &[])?;
    container.ends_with(134)?;
    let said = container.output("stderr")?.join("\n");
    ensure!(
        said.contains("unreachable") && said.contains("fall_into_the_trap"),
        "the log says {said:?}"
    );
    pod.remove()?;
    passed()
}

pub(super) fn a_module_that_cannot_run_says_why(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    for (guest, word) in [
        ("unknown-import.wasm", "example:rockets/pad"),
        ("truncated.wasm", "truncated.wasm"),
        ("empty.wasm", "empty.wasm"),
        ("no-entry.wasm", "_start"),
        ("nowhere.wasm", "nowhere.wasm"),
    ] {
        let container = pod.run(guest, &[])?;
        let status = container.ended()?;
        let said = container.output("stderr")?.join("\n");
        ensure!(
            [126, 127].contains(&status.exit_code),
            "{guest} ended with {}",
            status.exit_code
        );
        ensure!(said.contains(word), "{guest}: the log says {said:?}");
        ensure!(
            status.reason == "Error",
            "{guest}: reason {:?}",
            status.reason
        );
    }
    pod.remove()?;
    passed()
}

fn limited(mebibytes: i64) -> impl Fn(&mut ContainerConfig) {
    move |config| {
        let linux = config.linux.get_or_insert_default();
        let resources = linux.resources.get_or_insert_default();
        resources.memory_limit_in_bytes = mebibytes * MEBIBYTE;
    }
}

pub(super) fn memory_grow_fails_before_the_kernel_kills(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run_with("hoard.wasm", &[], limited(96))?;
    container.ends_with(0)?;
    container.says("refused after")?;
    pod.remove()?;
    passed()
}

/// A limit that leaves the guest no room beside its own code and engine: the kernel ends it.
pub(super) fn beyond_the_limit_is_oomkilled(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run_with("hoard.wasm", &[], |config| {
        limited(64)(config);
        // Files in memory count to the container too, and no engine can refuse those.
        config.args = vec!["--files".into(), "/dev/shm".into()];
    })?;
    let status = container.ended()?;
    ensure!(
        status.exit_code == 137 && status.reason == "OOMKilled",
        "it ended with {} ({:?}); its log: {:?}",
        status.exit_code,
        status.reason,
        container.lines()?
    );
    pod.remove()?;
    passed()
}
