//! containerd goes and comes back, gently and not, also in the middle of things.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use super::passed;
use crate::cri::ContainerState;
use crate::grpc::Status;
use crate::leavings;
use crate::node::Node;
use crate::pod::{Container, Pod};
use crate::report::Outcome;

/// How long after a call begins containerd is killed: before, while and after it reaches the shim.
const MOMENTS_MS: [u64; 5] = [0, 4, 10, 25, 60];

/// A pod that runs all along; a restart must not touch it.
struct Witness<'a> {
    pod: Pod<'a>,
    container: Container<'a>,
    process: u32,
}

impl<'a> Witness<'a> {
    fn new(node: &'a Node) -> Result<Self> {
        let pod = node.pod()?;
        let container = pod.run("ticker.wasm", &[])?;
        container.says("tick 1")?;
        Ok(Self {
            process: container.process()?,
            pod,
            container,
        })
    }

    /// The same process, running, with all of its output.
    fn is_well(&self) -> Result<()> {
        ensure!(
            self.container.state()? == ContainerState::Running,
            "a pod beside it does not run"
        );
        ensure!(
            self.container.process()? == self.process,
            "a pod beside it has another process"
        );
        let ticks = self.container.output("stdout")?.len();
        self.container
            .says(&format!("tick {}", ticks + 1))
            .context("a pod beside it")?;
        let out = self.container.output("stdout")?;
        let wanted = (1..=out.len()).map(|n| format!("tick {n}"));
        ensure!(out.iter().cloned().eq(wanted), "ticks are missing: {out:?}");
        Ok(())
    }

    /// Is well, can be stopped, and goes.
    fn ends(&self) -> Result<()> {
        self.is_well()?;
        self.container.stop(10)?;
        self.container.ends_with(143)?;
        self.pod.remove()
    }
}

pub(super) fn pods_survive_a_restart_of_containerd(node: &Node) -> Result<Outcome> {
    survive(node, Signal::TERM)
}

pub(super) fn pods_survive_the_death_of_containerd(node: &Node) -> Result<Outcome> {
    survive(node, Signal::KILL)
}

fn survive(node: &Node, signal: Signal) -> Result<Outcome> {
    let witness = Witness::new(node)?;
    let created = witness
        .pod
        .create_with("job.wasm", &["--exit", "4"], |_| {})?;
    for _ in 0..2 {
        node.runtime.restart(signal)?;
        witness.is_well()?;
        ensure!(witness.pod.is_ready()?, "the pod is not ready any more");
    }
    // What was made before is started after, and what comes after is made in the same pod.
    if created.state()? == ContainerState::Created {
        created.start()?;
        created.ends_with(4)?;
    }
    witness
        .pod
        .run("job.wasm", &["--exit", "5"])?
        .ends_with(5)?;
    witness.ends()?;
    passed()
}

pub(super) fn an_exit_while_containerd_is_away_is_told(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let args = ["--sleep-ms", "1500", "--lines", "3", "--exit", "9"];
    let container = pod.run("job.wasm", &args)?;
    let pid = container.process()?;
    node.runtime.end(Signal::KILL)?;
    let gone = crate::wait::until("the guest to end", crate::wait::SOON, || {
        let ended = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_or(true, |stat| stat.contains(") Z "));
        Ok(ended.then_some(()))
    });
    node.runtime.start()?;
    gone?;
    container.ends_with(9)?;
    container.says("out 3")?;
    for (stream, word) in [("stdout", "out"), ("stderr", "err")] {
        let found = numbers(&container, stream, word);
        ensure!(found == [1, 2, 3], "{stream} has the lines {found:?} of 3");
    }
    pod.remove()?;
    passed()
}

/// Begins `call` on a thread, kills containerd some milliseconds into it, and starts it again.
fn interrupted<T: Send>(
    node: &Node,
    milliseconds: u64,
    call: impl FnOnce() -> Result<T> + Send,
) -> Result<Result<T>> {
    std::thread::scope(|scope| {
        let calling = scope.spawn(call);
        std::thread::sleep(Duration::from_millis(milliseconds));
        let killed = node.runtime.restart(Signal::KILL);
        let answer = calling
            .join()
            .map_err(|_| anyhow::anyhow!("the call panicked"))?;
        killed?;
        Ok(answer)
    })
}

/// A pod, also where containerd was killed while it made a snapshot.
///
/// It names the snapshot's directory before it commits the number (plugins/snapshots/overlay/overlay.go@v2.4.2,
/// createSnapshot), and meets its own directory when it takes the number again, until it collects garbage.
fn pod_after_a_kill(node: &Node) -> Result<Pod<'_>> {
    let error = match node.pod() {
        Ok(pod) => return Ok(pod),
        Err(error) => error,
    };
    let text = format!("{error:#}");
    let orphan = text
        .split_once("failed to rename: rename ")
        .and_then(|(_, paths)| paths.split_once(": file exists"))
        .and_then(|(paths, _)| paths.split(' ').nth(1))
        .map(Path::new)
        .filter(|path| path.starts_with(&node.paths.root));
    match orphan {
        Some(orphan) => {
            let removed = std::fs::remove_dir_all(orphan);
            // containerd may have collected it meanwhile.
            if orphan.exists() {
                removed.with_context(|| orphan.display().to_string())?;
            }
            node.pod()
        }
        None => Err(error),
    }
}

pub(super) fn containerd_dies_while_pods_are_made(node: &Node) -> Result<Outcome> {
    let witness = Witness::new(node)?;
    for moment in MOMENTS_MS {
        // Whatever became of it, the kubelet finds it in the list and removes it.
        let made = interrupted(node, moment * 3, || node.pod().map(drop))?;
        answered(&made)?;
        witness.is_well()?;
        pod_after_a_kill(node)?.remove()?;
    }
    node.sweep(&[&witness.pod.id])?;
    witness.ends()?;
    passed()
}

pub(super) fn containerd_dies_during_create(node: &Node) -> Result<Outcome> {
    let witness = Witness::new(node)?;
    for moment in MOMENTS_MS {
        let pod = pod_after_a_kill(node)?;
        let made = interrupted(node, moment, || {
            pod.create_with("job.wasm", &["--exit", "6"], |_| {})
        })?;
        answered(&made)?;
        // A container that containerd knows of afterwards is no worse than one never made.
        pod.remove()
            .with_context(|| format!("killed after {moment} ms"))?;
    }
    witness.ends()?;
    passed()
}

pub(super) fn containerd_dies_during_start(node: &Node) -> Result<Outcome> {
    let witness = Witness::new(node)?;
    for moment in MOMENTS_MS {
        let pod = node.pod()?;
        let container = pod.create_with("ticker.wasm", &[], |_| {})?;
        let started = interrupted(node, moment, || container.start())?;
        let state = container.state()?;
        if started.is_ok() {
            ensure!(
                state == ContainerState::Running,
                "started, and then {state:?}"
            );
        }
        answered(&started)?;
        pod.remove()
            .with_context(|| format!("killed after {moment} ms, {state:?}"))?;
    }
    witness.ends()?;
    passed()
}

/// How many lines a guest writes to each stream that ends while containerd dies. They fit into a FIFO.
const LINES: u32 = 50;

/// The numbers of lines like `out 7`.
fn numbers(container: &Container<'_>, stream: &str, word: &str) -> Vec<u32> {
    // No log is one without lines.
    let lines = container.output(stream).unwrap_or_default();
    let numbers = lines.iter().filter_map(|line| line.strip_prefix(word));
    numbers
        .filter_map(|text| text.trim().parse().ok())
        .collect()
}

/// Whether lines are there once and in order, and those that are not are neighbours.
///
/// Nothing is lost on the shim's side, which keeps the FIFOs open with what is in them. containerd loses lines twice, in one
/// piece each: those it has read and not yet written when it is killed, which come after all that it has written; and the
/// rest, where it cancels the opening of the FIFOs of a task that it finds ended at its start before they are open
/// (`loadContainer` in internal/cri/server/restart.go@v2.4.2, `Delete` in client/task.go, `openFifo` of containerd/fifo).
fn has_one_gap(found: &[u32], of: u32) -> bool {
    let before = (1..)
        .zip(found)
        .take_while(|(n, found)| n == *found)
        .count();
    let after = found.iter().skip(before).rev();
    found.len() <= of as usize && after.zip((1..=of).rev()).all(|(found, n)| *found == n)
}

pub(super) fn containerd_dies_during_exit(node: &Node) -> Result<Outcome> {
    let witness = Witness::new(node)?;
    for moment in MOMENTS_MS {
        let pod = node.pod()?;
        let lines = LINES.to_string();
        let args = ["--sleep-ms", "30", "--lines", &lines, "--exit", "8"];
        let container = pod.run("job.wasm", &args)?;
        std::thread::sleep(Duration::from_millis(moment));
        node.runtime.end(Signal::KILL)?;
        // containerd deletes a task before it writes down how it ended (internal/cri/server/events.go@v2.4.2,
        // handleContainerExit): killed in between, it has forgotten the code, whatever the shim.
        let deleted = !node.bundle(&container.id).exists() || !leavings::has_cgroup(&container.id);
        node.runtime.start()?;
        let status = container.ended()?;
        let forgotten = deleted && status.exit_code == 255 && status.reason == "Unknown";
        if !forgotten {
            container
                .ends_with(8)
                .with_context(|| format!("killed after {moment} ms"))?;
        }
        for (stream, word) in [("stdout", "out"), ("stderr", "err")] {
            let found = numbers(&container, stream, word);
            ensure!(
                has_one_gap(&found, LINES),
                "killed after {moment} ms: {stream} has the lines {found:?} of {LINES}"
            );
        }
        pod.remove()?;
    }
    witness.ends()?;
    passed()
}

pub(super) fn containerd_dies_during_stop(node: &Node) -> Result<Outcome> {
    let witness = Witness::new(node)?;
    for moment in MOMENTS_MS {
        let pod = node.pod()?;
        pod.run("ticker.wasm", &[])?.says("tick 1")?;
        let stopped = interrupted(node, moment, || pod.stop())?;
        answered(&stopped)?;
        pod.remove()
            .with_context(|| format!("killed after {moment} ms"))?;
    }
    witness.ends()?;
    passed()
}

/// A call that was cut off may succeed or break off, but not fail for a reason of the shim's.
fn answered<T>(result: &Result<T>) -> Result<()> {
    let Err(error) = result else {
        return Ok(());
    };
    let status = error.downcast_ref::<Status>();
    ensure!(
        status.is_some_and(|status| status.code == crate::grpc::UNAVAILABLE),
        "the call that was cut off said: {error:#}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_missing_in_one_piece_only() {
        for whole in [
            &[][..],
            &[1, 2, 3, 4, 5],
            &[1, 2],
            &[4, 5],
            &[1, 5],
            &[1, 2, 4, 5],
        ] {
            assert!(has_one_gap(whole, 5), "{whole:?}");
        }
        for torn in [
            &[1, 3, 5][..],
            &[2],
            &[2, 3, 4],
            &[1, 1, 2],
            &[2, 1],
            &[1, 3, 2],
            &[1, 2, 3, 4, 5, 5],
            &[1, 2, 3, 4, 5, 6],
        ] {
            assert!(!has_one_gap(torn, 5), "{torn:?}");
        }
    }
}
