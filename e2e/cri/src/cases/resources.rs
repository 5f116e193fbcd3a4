//! Limits that change, figures, the freezer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::passed;
use crate::cri::{
    ContainerStatsResponse, Empty, Id, LinuxContainerResources, UpdateContainerResourcesRequest,
};
use crate::node::Node;
use crate::report::Outcome;
use crate::wait::{SOON, until};

const MEBIBYTE: i64 = 1 << 20;

/// A process's directory in the cgroup hierarchy of a controller.
fn cgroup(node: &Node, pid: u32, controller: &str) -> Result<PathBuf> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let wanted = if node.is_cgroup_v2() { "" } else { controller };
    let found = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        let path = parts.next()?;
        let (named, own) = (
            controllers.split(',').any(|c| c == wanted),
            controllers == wanted,
        );
        (named || own).then_some((controllers.to_owned(), path.to_owned()))
    });
    let (_, path) = found.with_context(|| format!("no {controller} in {groups}"))?;
    let root = PathBuf::from("/sys/fs/cgroup");
    let root = if node.is_cgroup_v2() {
        root
    } else {
        root.join(controller)
    };
    Ok(root.join(path.trim_start_matches('/')))
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.trim().to_owned())
}

pub(super) fn an_update_reaches_the_cgroup(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let limits = |mebibytes: i64, quota: i64| LinuxContainerResources {
        cpu_period: 100_000,
        cpu_quota: quota,
        memory_limit_in_bytes: mebibytes * MEBIBYTE,
        ..LinuxContainerResources::default()
    };
    let container = pod.run_with("ticker.wasm", &[], |config| {
        config.linux.get_or_insert_default().resources = Some(limits(128, 50_000));
    })?;
    container.says("tick 1")?;
    let pid = container.process()?;
    let (memory, cpu) = (cgroup(node, pid, "memory")?, cgroup(node, pid, "cpu")?);
    let found = || -> Result<(String, String)> {
        if node.is_cgroup_v2() {
            let quota = read(cpu.join("cpu.max"))?;
            let quota = quota.split(' ').next().unwrap_or_default().to_owned();
            Ok((read(memory.join("memory.max"))?, quota))
        } else {
            Ok((
                read(memory.join("memory.limit_in_bytes"))?,
                read(cpu.join("cpu.cfs_quota_us"))?,
            ))
        }
    };
    let wanted =
        |mebibytes: i64, quota: i64| ((mebibytes * MEBIBYTE).to_string(), quota.to_string());
    ensure!(found()? == wanted(128, 50_000), "at first: {:?}", found()?);
    for (mebibytes, quota) in [(256, 20_000), (96, 150_000)] {
        let request = UpdateContainerResourcesRequest {
            container_id: container.id.clone(),
            linux: Some(limits(mebibytes, quota)),
        };
        node.runtime
            .cri::<Empty>("UpdateContainerResources", &request)?;
        // systemd sets what it keeps after it has answered.
        until("the new limits", SOON, || {
            Ok((found()? == wanted(mebibytes, quota)).then_some(()))
        })
        .with_context(|| format!("{:?}", found()))?;
    }
    if node.minor >= (1, 7) {
        let linux = container
            .status()?
            .resources
            .and_then(|resources| resources.linux);
        let limit = linux.map(|linux| linux.memory_limit_in_bytes);
        ensure!(limit == Some(96 * MEBIBYTE), "the status says {limit:?}");
    }
    pod.remove()?;
    passed()
}

pub(super) fn figures_have_the_right_type_and_size(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("spin.wasm", &[])?;
    container.says("spinning")?;
    let pid = container.process()?;
    let nanoseconds = || -> Result<u64> {
        if node.is_cgroup_v2() {
            let stat = read(cgroup(node, pid, "cpu")?.join("cpu.stat"))?;
            let mut words = stat
                .split_whitespace()
                .skip_while(|word| *word != "usage_usec");
            let usage: u64 = words.nth(1).context("no usage_usec")?.parse()?;
            Ok(usage * 1000)
        } else {
            Ok(read(cgroup(node, pid, "cpuacct")?.join("cpuacct.usage"))?.parse()?)
        }
    };
    until("half a second of processor time", SOON, || {
        Ok((nanoseconds()? > 500_000_000).then_some(()))
    })?;
    let before = nanoseconds()?;
    let request = Id {
        id: container.id.clone(),
    };
    let answer: ContainerStatsResponse = node.runtime.cri("ContainerStats", &request)?;
    let after = nanoseconds()?;
    let stats = answer.stats.unwrap_or_default();
    let cpu = stats.cpu.and_then(|cpu| cpu.usage_core_nano_seconds);
    let cpu = cpu.context("no processor time")?.value;
    // A type that does not fit the node is off by a factor of a thousand.
    ensure!(
        before <= cpu && cpu <= after,
        "{cpu} ns, not between {before} and {after}"
    );
    let memory = stats.memory.and_then(|memory| memory.working_set_bytes);
    let memory = memory.context("no memory")?.value;
    ensure!(
        (64 << 10..1 << 30).contains(&memory),
        "{memory} bytes of memory"
    );
    let (kind, _) = node.runtime.metrics(&container.id)?;
    let wanted = if node.is_cgroup_v2() {
        "io.containerd.cgroups.v2.Metrics"
    } else {
        "io.containerd.cgroups.v1.Metrics"
    };
    ensure!(kind.ends_with(wanted), "the figures are {kind}");
    pod.remove()?;
    passed()
}

pub(super) fn pausing_stops_the_guest(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    container.says("tick 1")?;
    let id = Id {
        id: container.id.clone(),
    };
    node.runtime.tasks::<Empty>("Pause", &id).context("Pause")?;
    let before = container.lines()?.len();
    // Two ticks' time, in which a guest that ran would say something.
    let silent = until(
        "a tick of a paused guest",
        Duration::from_millis(2200),
        || Ok((container.lines()?.len() > before + 1).then_some(())),
    );
    ensure!(silent.is_err(), "a paused guest goes on");
    node.runtime
        .tasks::<Empty>("Resume", &id)
        .context("Resume")?;
    container.says(&format!("tick {}", before + 2))?;
    pod.remove()?;
    passed()
}
