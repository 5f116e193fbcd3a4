//! More processes in a running container.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::passed;
use crate::cri::ContainerState;
use crate::node::Node;
use crate::report::Outcome;
use crate::stream::{STDERR, STDOUT};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn a_wasm_file_is_run_beside_the_guest(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    container.says("tick 1")?;
    let answer = container.exec(&["/job.wasm", "--lines", "2", "--exit", "5"], 20)?;
    ensure!(answer.exit_code == 5, "exit code {}", answer.exit_code);
    ensure!(
        text(&answer.stdout).ends_with("out 1\nout 2\n"),
        "{:?}",
        text(&answer.stdout)
    );
    ensure!(
        text(&answer.stderr) == "err 1\nerr 2\n",
        "{:?}",
        text(&answer.stderr)
    );
    ensure!(
        container.state()? == ContainerState::Running,
        "the guest has ended"
    );
    ensure!(
        container.output("stderr")?.is_empty(),
        "it wrote to the container's log"
    );
    pod.remove()?;
    passed()
}

/// `_start` is an exported function like any other; that it is looked up by its name shows in one that is not there.
pub(super) fn an_exported_function_is_run_beside_the_guest(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    container.says("tick 1")?;
    let command = ["/job.wasm#_start", "--lines", "1", "--exit", "6"];
    let answer = container.exec(&command, 20)?;
    ensure!(
        answer.exit_code == 6 && text(&answer.stdout).ends_with("out 1\n"),
        "exit code {}: {:?} {:?}",
        answer.exit_code,
        text(&answer.stdout),
        text(&answer.stderr)
    );
    let answer = container.exec(&["/job.wasm#absent"], 20)?;
    ensure!(
        answer.exit_code == 126
            && text(&answer.stderr).contains("there is no exported function `absent`"),
        "exit code {}: {:?}",
        answer.exit_code,
        text(&answer.stderr)
    );
    ensure!(
        container.state()? == ContainerState::Running,
        "the guest has ended"
    );
    pod.remove()?;
    passed()
}

pub(super) fn a_shell_answers_where_no_file_is_named(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    container.says("tick 1")?;
    let answer = container.exec(&["sh", "-c", "echo good day; ls /; exit 3"], 20)?;
    ensure!(
        answer.exit_code == 3,
        "exit code {}: {}",
        answer.exit_code,
        text(&answer.stderr)
    );
    let said = text(&answer.stdout);
    ensure!(
        said.contains("good day") && said.contains("ticker.wasm"),
        "it says {said:?}"
    );
    let answer = container.exec(&["no-such-command"], 20)?;
    ensure!(answer.exit_code == 127, "exit code {}", answer.exit_code);
    ensure!(
        text(&answer.stderr).contains("no-such-command"),
        "{:?}",
        text(&answer.stderr)
    );
    pod.remove()?;
    passed()
}

pub(super) fn an_exec_ends_at_its_time_limit(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    container.says("tick 1")?;
    let before = node.runtime.pids(&container.id)?.len();
    let begun = Instant::now();
    let answer = container.exec(&["/spin.wasm"], 1);
    ensure!(answer.is_err(), "a guest that never ends ended: {answer:?}");
    ensure!(
        begun.elapsed() < Duration::from_secs(10),
        "it took {:?}",
        begun.elapsed()
    );
    let after = node.runtime.pids(&container.id)?.len();
    ensure!(after == before, "{after} processes, {before} before");
    let ticks = container.lines()?.len();
    container.says(&format!("tick {}", ticks + 1))?;
    pod.remove()?;
    passed()
}

pub(super) fn input_and_output_of_an_exec_are_streamed(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    let script = "read line; echo got $line; read line; echo and $line >&2; exit 7";
    let mut stream = container.exec_stream(&["sh", "-c", script], false)?;
    stream.write(b"one\n")?;
    stream.expect(STDOUT, "got one\n")?;
    stream.write(b"two\n")?;
    let code = stream.finish()?;
    ensure!(code == 7, "exit code {code}");
    ensure!(
        stream.text(STDERR) == "and two\n",
        "{:?}",
        stream.text(STDERR)
    );
    pod.remove()?;
    passed()
}

pub(super) fn an_exec_may_have_a_terminal(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    let mut stream = container.exec_stream(&["sh"], true)?;
    stream.resize(120, 40)?;
    stream.write(b"echo one two; exit 4\r")?;
    let code = stream.finish().with_context(|| stream.text(STDOUT))?;
    ensure!(code == 4, "exit code {code}: {:?}", stream.text(STDOUT));
    // A terminal shows what is typed, and ends lines with both characters. What was typed before the prompt precedes it.
    let said = stream.text(STDOUT);
    ensure!(
        said.contains("exit 4") && said.contains("one two\r\n"),
        "it says {said:?}"
    );
    pod.remove()?;
    passed()
}

pub(super) fn many_execs_leave_nothing(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    container.says("tick 1")?;
    let before = node.runtime.pids(&container.id)?;
    for _ in 0..20 {
        let answer = container.exec(&["echo", "here"], 20)?;
        ensure!(
            answer.exit_code == 0 && answer.stdout == b"here\n",
            "{answer:?}"
        );
    }
    let after = node.runtime.pids(&container.id)?;
    ensure!(before == after, "processes {after:?}, {before:?} before");
    pod.remove()?;
    passed()
}

pub(super) fn an_exec_survives_a_restart_of_containerd(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    container.says("tick 1")?;
    let answer = std::thread::scope(|scope| {
        let running = scope.spawn(|| container.exec(&["/spin.wasm"], 60));
        let began = crate::wait::until("the exec to begin", crate::wait::SOON, || {
            Ok((node.runtime.pids(&container.id)?.len() > 1).then_some(()))
        });
        let restarted = node.runtime.restart(rustix::process::Signal::KILL);
        let answer = running.join();
        began.and(restarted).map(|()| answer)
    })?;
    ensure!(
        answer.is_ok_and(|answer| answer.is_err()),
        "a call to a dead containerd succeeded"
    );
    let ticks = container.lines()?.len();
    container.says(&format!("tick {}", ticks + 1))?;
    // Nobody knows of it any more; it goes with its container.
    container.stop(5)?;
    container.ends_with(143)?;
    pod.remove()?;
    passed()
}
