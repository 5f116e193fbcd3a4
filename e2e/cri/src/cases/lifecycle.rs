//! From `RunPodSandbox` to `RemovePodSandbox`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::passed;
use crate::cri::ContainerState;
use crate::node::Node;
use crate::report::Outcome;
use crate::runtime::holder;
use crate::wait::{SOON, until};

pub(super) fn a_pod_runs_and_goes(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    ensure!(pod.is_ready()?, "a new pod is not ready");
    let ip = pod.status()?.status.and_then(|status| status.network);
    ensure!(
        ip.is_some_and(|network| !network.ip.is_empty()),
        "the pod has no address"
    );
    let container = pod.create_with("job.wasm", &["hello"], |config| {
        config.envs = vec![crate::cri::KeyValue {
            key: "GREETING".into(),
            value: "good day".into(),
        }];
    })?;
    ensure!(
        container.state()? == ContainerState::Created,
        "created is not CREATED"
    );
    ensure!(
        !container.log.exists() || container.lines()?.is_empty(),
        "it ran before its start"
    );
    container.start()?;
    let status = container.ends_with(0)?;
    ensure!(status.reason == "Completed", "reason {:?}", status.reason);
    ensure!(
        status.created_at <= status.started_at && status.started_at <= status.finished_at,
        "times out of order: {status:?}"
    );
    let output = container.output("stdout")?;
    for line in ["arg 0=/job.wasm", "arg 1=hello", "env GREETING=good day"] {
        ensure!(
            output.iter().any(|l| l == line),
            "no {line:?} in {output:?}"
        );
    }
    container.remove()?;
    pod.remove()?;
    passed()
}

/// containerd 1.6 and 1.7 run `start` for each container, as 2.x does for a shim of task v2; from 2.3 on, where the
/// shim knows that it may answer version 3, once a pod (`core/runtime/v2/shim_manager.go`, containerd 2.4).
pub(super) fn one_start_and_one_shim_a_pod(node: &Node) -> Result<Outcome> {
    let handler = &node.args.counted_handler;
    if !node.runtime.has_handler(handler)? {
        return Ok(Outcome::DoesNotApply(format!(
            "there is no handler {handler}"
        )));
    }
    let script = node.runtime.paths(handler)?.shim;
    let calls = script.with_file_name("calls");
    std::fs::write(&calls, "").with_context(|| calls.display().to_string())?;
    let pod = node.pod_of(handler, |_| {})?;
    let first = pod.run("ticker.wasm", &[])?;
    let second = pod.run("ticker.wasm", &[])?;
    let sockets: Vec<PathBuf> = [&pod.id, &first.id, &second.id]
        .into_iter()
        .filter_map(|id| node.socket(id))
        .collect();
    let shims: Vec<_> = sockets
        .iter()
        .map(|path| holder(path))
        .collect::<Result<_>>()?;
    ensure!(!shims.is_empty(), "no bundle of the pod has an address");
    ensure!(
        shims.windows(2).all(|pair| pair[0] == pair[1]),
        "one pod has the shims {shims:?}"
    );
    pod.remove()?;
    let text = std::fs::read_to_string(&calls)?;
    let starts = text.lines().filter(|line| line.ends_with("start")).count();
    let wanted = if node.minor >= (2, 3) { 1 } else { 3 };
    ensure!(
        starts == wanted,
        "{starts} executions of start, {wanted} expected: {text}"
    );
    passed()
}

pub(super) fn a_created_container_can_be_removed(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.create_with("ticker.wasm", &[], |_| {})?;
    container.remove()?;
    ensure!(
        container.status().is_err(),
        "a removed container has a status"
    );
    // And one that is there when its pod goes.
    pod.create_with("ticker.wasm", &[], |_| {})?;
    pod.remove()?;
    passed()
}

pub(super) fn stopping_and_removing_twice_is_no_error(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    container.says("tick 1")?;
    container.stop(5)?;
    container.stop(5)?;
    container.remove()?;
    container.remove()?;
    pod.stop()?;
    pod.stop()?;
    pod.remove()?;
    // RemovePodSandbox of a pod that is gone, as after a lost answer.
    let id = crate::cri::Id { id: pod.id.clone() };
    node.runtime
        .cri::<crate::cri::Empty>("RemovePodSandbox", &id)?;
    passed()
}

pub(super) fn a_pod_is_removed_with_a_running_container(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let running = pod.run("spin.wasm", &[])?;
    running.says("spinning")?;
    let ended = pod.run("job.wasm", &["--exit", "3"])?;
    ended.ends_with(3)?;
    pod.stop()?;
    ensure!(
        running.ended()?.exit_code == 137,
        "a stopped pod kills its containers"
    );
    ensure!(!pod.is_ready()?, "a stopped pod is ready");
    pod.remove()?;
    passed()
}

pub(super) fn create_answers_the_containers_process(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    let pid = container.process()?;
    ensure!(
        i64::from(pid) != i64::from(pod.shim()?.as_raw_pid()),
        "that is the shim"
    );
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    ensure!(
        groups.contains(&container.id),
        "process {pid} is in {groups}"
    );
    let first = pod.process()?;
    let groups = std::fs::read_to_string(format!("/proc/{first}/cgroup"))?;
    ensure!(
        groups.contains(&pod.id) || i64::from(first) == i64::from(pod.shim()?.as_raw_pid()),
        "the pod's process {first} is in {groups}"
    );
    let pids = node.runtime.pids(&container.id)?;
    ensure!(pids.contains(&pid), "Pids says {pids:?}, without {pid}");
    let exe = std::fs::read_link(format!("/proc/{pid}/exe"))?;
    ensure!(
        exe.parent() == node.paths.shim.parent(),
        "{} runs",
        exe.display()
    );
    ensure!(
        Path::new(&node.bundle(&container.id)).exists(),
        "the bundle is elsewhere"
    );
    pod.remove()?;
    passed()
}

pub(super) fn a_pod_outlives_its_first_process_no_longer(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let pid = i32::try_from(pod.process()?)?;
    let pid = rustix::process::Pid::from_raw(pid).context("the pod has no process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    until("the pod to be not ready", SOON, || {
        // Without a pause container that process is the shim, and containerd may not have noticed yet.
        Ok(matches!(pod.is_ready(), Ok(false)).then_some(()))
    })?;
    pod.remove()?;
    passed()
}
