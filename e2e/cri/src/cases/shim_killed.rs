//! The pod process or a worker dies of SIGKILL.

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::passed;
use crate::node::Node;
use crate::report::Outcome;
use crate::wait::{SOON, until};

pub(super) fn a_dead_shim_is_noticed(node: &Node) -> Result<Outcome> {
    let beside = node.pod()?;
    let untouched = beside.run("ticker.wasm", &[])?;
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    let second = pod.run("spin.wasm", &[])?;
    container.says("tick 1")?;
    kill_process(pod.shim()?, Signal::KILL)?;
    for container in [&container, &second] {
        let status = container.ended()?;
        ensure!(status.exit_code != 0, "it ended with 0");
    }
    until("the pod to be not ready", SOON, || {
        Ok(matches!(pod.is_ready(), Ok(false)).then_some(()))
    })?;
    pod.remove()?;
    let ticks = untouched.lines()?.len();
    untouched.says(&format!("tick {}", ticks + 1))?;
    beside.remove()?;
    passed()
}

pub(super) fn a_dead_shim_while_containerd_is_away(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    container.says("tick 1")?;
    let shim = pod.shim()?;
    node.runtime.end(Signal::KILL)?;
    let killed = kill_process(shim, Signal::KILL);
    node.runtime.start()?;
    killed?;
    let status = container.ended()?;
    ensure!(status.exit_code != 0, "it ended with 0");
    pod.remove()?;
    passed()
}

pub(super) fn a_killed_worker_is_an_exit(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("spin.wasm", &[])?;
    let beside = pod.run("ticker.wasm", &[])?;
    container.says("spinning")?;
    let pid = Pid::from_raw(i32::try_from(container.process()?)?).context("no process")?;
    kill_process(pid, Signal::KILL)?;
    let status = container.ends_with(137)?;
    ensure!(status.reason == "Error", "reason {:?}", status.reason);
    let ticks = beside.lines()?.len();
    beside.says(&format!("tick {}", ticks + 1))?;
    ensure!(pod.is_ready()?, "the pod is not ready");
    pod.remove()?;
    passed()
}
