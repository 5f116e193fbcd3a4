//! This crate on the real kernel: a process in a cgroup of this machine, kept by files.
//!
//! Making cgroups takes root and a writable hierarchy. The systemd driver is tested by the cluster tests, on nodes that have one.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use slipway_shim_cgroup::{Cgroup, CgroupsPath, Hierarchies, Resources, Stats};

const PATIENCE: Duration = Duration::from_secs(5);
const LIMIT: i64 = 32 << 20;

/// A process and its cgroup, both gone at the end whatever happens.
struct Scene {
    cgroup: Cgroup,
    child: Child,
}

impl Scene {
    fn new(name: &str, script: &str) -> Self {
        let path = format!("/slipway-test-{}-{name}", std::process::id());
        let path = CgroupsPath::parse(&path).expect("a path");
        let cgroup = Cgroup::new(&Hierarchies::detect().expect("hierarchies"), path);
        let child = Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let scene = Self { cgroup, child };
        let resources = Resources {
            memory_limit: Some(LIMIT),
            ..Resources::default()
        };
        let placement = scene.cgroup.place(scene.child.id(), &resources, None);
        let mut placement = placement.expect("root, and a hierarchy to write to");
        assert!(
            placement.as_fd().is_none(),
            "without systemd there is nothing to wait for"
        );
        assert!(matches!(
            placement.on_ready(),
            std::task::Poll::Ready(Ok(()))
        ));
        scene
    }

    fn own_cgroups(&self) -> String {
        fs::read_to_string(format!("/proc/{}/cgroup", self.child.id())).expect("the child lives")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.cgroup.kill();
        let _ = self.cgroup.remove(PATIENCE);
    }
}

#[test]
fn a_process_is_inside_with_its_limits_until_it_is_removed() {
    let mut scene = Scene::new("life", "read line; exit 3");
    assert!(
        scene.own_cgroups().contains("/slipway-test-"),
        "{}",
        scene.own_cgroups()
    );
    assert_eq!(scene.cgroup.pids().expect("read"), [scene.child.id()]);
    let limit = match scene.cgroup.stats().expect("read") {
        Stats::V1(stats) => stats.memory.usage.limit,
        Stats::V2(stats) => stats.memory.usage_limit,
    };
    assert_eq!(limit, LIMIT.unsigned_abs());

    let more = Resources {
        memory_limit: Some(2 * LIMIT),
        pids_limit: Some(7),
        ..Resources::default()
    };
    assert!(scene.cgroup.update(&more).expect("updated").is_none());

    scene.cgroup.freeze().expect("frozen");
    drop(scene.child.stdin.take());
    assert_eq!(
        scene.child.try_wait().expect("waited"),
        None,
        "a frozen process cannot end"
    );
    scene.cgroup.thaw().expect("thawed");
    assert_eq!(scene.child.wait().expect("ended").code(), Some(3));

    scene.cgroup.remove(PATIENCE).expect("removed");
    scene.cgroup.remove(PATIENCE).expect("removed already");
    assert_eq!(scene.cgroup.pids().expect("gone"), Vec::<u32>::new());
}

#[test]
fn a_frozen_process_can_be_killed() {
    let mut scene = Scene::new("kill", "read line");
    scene.cgroup.freeze().expect("frozen");
    assert_eq!(scene.cgroup.kill().expect("killed"), 1);
    assert_eq!(scene.child.wait().expect("ended").code(), None);
    scene.cgroup.remove(PATIENCE).expect("removed");
}

#[test]
fn an_oom_kill_is_noticed_and_an_ordinary_end_is_not() {
    let mut scene = Scene::new("oom", "read line; x=a; while :; do x=$x$x; done");
    let mut watch = scene.cgroup.watch_oom().expect("watched");
    assert!(!watch.killed());
    // Swap would only make it take longer.
    let no_swap = Resources {
        memory_limit: Some(LIMIT),
        memory_swap: Some(LIMIT),
        ..Resources::default()
    };
    scene.cgroup.update(&no_swap).expect("updated");
    drop(scene.child.stdin.take());
    assert_eq!(scene.child.wait().expect("ended").code(), None);
    assert!(watch.killed());

    let mut scene = Scene::new("end", "read line");
    let mut watch = scene.cgroup.watch_oom().expect("watched");
    drop(scene.child.stdin.take());
    scene.child.wait().expect("ended");
    scene.cgroup.remove(PATIENCE).expect("removed");
    assert!(
        !watch.killed(),
        "the end of a cgroup is told as an event too"
    );
}
