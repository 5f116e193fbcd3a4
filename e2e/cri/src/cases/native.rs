//! Native containers in a WebAssembly pod.

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Signal, kill_process};

use super::passed;
use crate::cri::ContainerState;
use crate::node::Node;
use crate::report::Outcome;
use crate::stream::STDOUT;

const NATIVE: &str = "native-ticker";

pub(super) fn sidecars_run_beside_a_guest(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let first = pod.run(NATIVE, &["1"])?;
    first.ends_with(0)?;
    ensure!(first.output("stdout")? == ["tick 1"], "its log");
    let stopped = pod.run(NATIVE, &[])?;
    let sidecar = pod.run(NATIVE, &[])?;
    stopped.says("tick 1")?;
    // The first process of a PID namespace hears no SIGTERM that it has not asked for.
    stopped.stop(1)?;
    stopped.ends_with(137)?;
    let processes = node.runtime.pids(&sidecar.id)?.len();
    ensure!(processes == 1, "{processes} processes");
    let app = pod.run("ticker.wasm", &[])?;
    sidecar.says("tick 3")?;
    app.says("tick 2")?;
    ensure!(
        sidecar.state()? == ContainerState::Running,
        "the sidecar has ended"
    );
    pod.remove()?;
    passed()
}

pub(super) fn an_exec_runs_the_programs_of_a_native_container(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run(NATIVE, &[])?;
    container.says("tick 1")?;
    let answer = container.exec(&["/native-ticker", "2"], 20)?;
    ensure!(
        answer.exit_code == 0 && answer.stdout == b"tick 1\ntick 2\n",
        "{answer:?}"
    );
    let error = container.exec(&["/no-such-program"], 20);
    let error = error.err().context("a program that is not there ran")?;
    ensure!(
        format!("{error:#}").contains("/no-such-program"),
        "{error:#}"
    );
    let mut stream = container.exec_stream(&["/native-ticker", "2"], true)?;
    stream.resize(120, 40)?;
    let code = stream.finish().with_context(|| stream.text(STDOUT))?;
    ensure!(
        code == 0 && stream.text(STDOUT) == "tick 1\r\ntick 2\r\n",
        "exit code {code}: {:?}",
        stream.text(STDOUT)
    );
    ensure!(
        node.runtime.pids(&container.id)?.len() == 1,
        "an exec is left"
    );
    pod.remove()?;
    passed()
}

pub(super) fn native_containers_survive_the_death_of_containerd(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run(NATIVE, &[])?;
    container.says("tick 1")?;
    let before = node.runtime.pids(&container.id)?;
    node.runtime.restart(Signal::KILL)?;
    let after = node.runtime.pids(&container.id)?;
    ensure!(before == after, "processes {after:?}, {before:?} before");
    let ticks = container.lines()?.len();
    container.says(&format!("tick {}", ticks + 1))?;
    pod.remove()?;
    passed()
}

pub(super) fn native_containers_end_with_the_shim(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run(NATIVE, &[])?;
    container.says("tick 1")?;
    kill_process(pod.shim()?, Signal::KILL)?;
    let status = container.ended()?;
    ensure!(status.exit_code != 0, "it ended with 0");
    pod.remove()?;
    passed()
}
