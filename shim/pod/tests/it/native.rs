//! Native containers, by the real runc. Their root file system is the machine's own, mounted read-only.

mod exec;
mod mixed;

use std::path::Path;

use serde_json::json;
use slipway_shim_pod::api::task::{CreateTaskRequest, StatsResponse, UpdateTaskRequest};
use slipway_shim_pod::api::types::{Any, Empty, Mount, Status};
use slipway_shim_pod::ttrpc::message::Code;

use crate::harness::{Bundle, Node, cgroups, read_to_end, task, wait_for};

/// A container that runs `script` in the machine's own shell.
fn native(node: &Node, id: &str, script: &str) -> (Bundle, CreateTaskRequest) {
    native_program(node, id, &["/bin/sh", "-c", script])
}

fn native_program(node: &Node, id: &str, args: &[&str]) -> (Bundle, CreateTaskRequest) {
    let bundle = node.bundle(id, id, "container", args);
    let path = bundle.path.join("config.json");
    let mut spec: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    spec["mounts"] = json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
    ]);
    spec["process"]["env"] = json!(["PATH=/bin"]);
    // The parents of a test's cgroup have no limits, and runc wants some.
    spec["linux"]["resources"] = json!({"pids": {"limit": 64}});
    node.write_spec(&bundle.path, &spec);
    let request = CreateTaskRequest {
        rootfs: vec![Mount {
            r#type: "bind".into(),
            source: "/".into(),
            options: vec!["bind".into(), "ro".into()],
            ..Mount::default()
        }],
        ..CreateTaskRequest::default()
    };
    (bundle, request)
}

fn runc_state(id: &str) -> std::path::PathBuf {
    Path::new("/run/containerd/runc/test").join(id)
}

fn is_mounted(bundle: &Bundle) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let rootfs = bundle.path.join("rootfs");
    mounts.contains(rootfs.to_str().unwrap())
}

/// Ids are runc's on this machine, not the test's node's.
fn unique(node: &Node, name: &str) -> String {
    let node = node.path().file_name().unwrap().to_str().unwrap();
    format!("{name}-{}", node.trim_start_matches('.'))
}

#[test]
fn it_goes_from_create_to_delete_with_its_output_and_its_events_in_order() {
    let node = Node::new();
    let id = unique(&node, "n1");
    let (bundle, request) = native(&node, &id, "echo out; echo err >&2; exit 3");
    let (stdout, out) = node.fifo("out");
    let (stderr, err) = node.fifo("err");
    let mut shim = node.start(&bundle);
    let request = CreateTaskRequest {
        stdout,
        stderr,
        ..request
    };
    let pid = shim.create_with(&bundle, request).unwrap();
    assert_eq!(shim.state(&id).pid, pid);
    assert_eq!(shim.state(&id).status(), Status::Created);
    assert!(runc_state(&id).exists() && is_mounted(&bundle));
    shim.empty("Start", &id).unwrap();
    assert_eq!(shim.wait(&id), 3);
    assert_eq!(shim.pids(&id), [pid], "known until it is deleted");
    assert_eq!(read_to_end(out), "out\n");
    assert_eq!(read_to_end(err), "err\n");
    let deleted = shim.delete(&id).unwrap();
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 3));
    assert_eq!(shim.delete(&id).unwrap_err().code(), Code::NotFound);
    assert!(!runc_state(&id).exists() && !is_mounted(&bundle));
    assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
    shim.leave(&id);
    let topics = ["create", "start", "exit", "delete"];
    let expected = topics.map(|topic| format!("/tasks/{topic} {id}"));
    assert_eq!(node.events(4), expected);
}

/// The limit of the only container.
fn most_processes(node: &Node) -> String {
    let mut limits = cgroups(node).into_iter();
    limits
        .find_map(|cgroup| std::fs::read_to_string(cgroup.join("pids.max")).ok())
        .unwrap()
}

#[test]
fn it_is_counted_limited_frozen_and_killed() {
    let node = Node::new();
    let id = unique(&node, "n2");
    let (bundle, request) = native(&node, &id, "sleep 1000 & sleep 1000");
    let mut shim = node.start(&bundle);
    let pid = shim.create_with(&bundle, request).unwrap();
    shim.empty("Start", &id).unwrap();
    let again = shim.empty("Start", &id).unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    wait_for("both sleepers", || {
        (shim.pids(&id).len() >= 3).then_some(())
    });
    assert!(shim.pids(&id).contains(&pid));
    let stats: StatsResponse = shim.call("Stats", &task(&id)).unwrap();
    assert!(stats.stats.is_some());
    assert_eq!(most_processes(&node), "64\n");
    let update = UpdateTaskRequest {
        id: id.clone(),
        resources: Some(Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources".into(),
            value: br#"{"pids":{"limit":77}}"#.to_vec(),
        }),
    };
    shim.call::<Empty>("Update", &update).unwrap();
    assert_eq!(most_processes(&node), "77\n");
    shim.empty("Pause", &id).unwrap();
    assert_eq!(shim.state(&id).status(), Status::Paused);
    shim.empty("Resume", &id).unwrap();
    let early = shim.delete(&id).unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition);
    shim.kill(&id, libc::SIGTERM).unwrap();
    shim.kill(&id, libc::SIGKILL).unwrap();
    assert_eq!(shim.wait(&id), 137);
    shim.delete(&id).unwrap();
    assert!(!runc_state(&id).exists() && !is_mounted(&bundle));
    assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
    shim.leave(&id);
}

#[test]
fn one_that_was_never_started_is_deleted() {
    let node = Node::new();
    let id = unique(&node, "n3");
    let (bundle, request) = native(&node, &id, "exit 0");
    let mut shim = node.start(&bundle);
    shim.create_with(&bundle, request).unwrap();
    assert_eq!(shim.delete(&id).unwrap().exit_status, 137);
    assert!(!runc_state(&id).exists() && !is_mounted(&bundle));
    shim.leave(&id);
}

#[test]
fn what_runc_refuses_fails_create_in_its_words_and_leaves_nothing() {
    let node = Node::new();
    let id = unique(&node, "n4");
    let (bundle, request) = native(&node, &id, "exit 0");
    let path = bundle.path.join("config.json");
    let mut spec: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    spec["process"]["cwd"] = json!("/etc/passwd");
    node.write_spec(&bundle.path, &spec);
    let mut shim = node.start(&bundle);
    let error = shim.create_with(&bundle, request).unwrap_err();
    let expected = format!("task {id}: OCI runtime create failed: runc create failed: ");
    assert!(error.message.starts_with(&expected), "{}", error.message);
    assert!(error.message.contains("/etc/passwd"), "{}", error.message);
    assert_eq!(shim.delete(&id).unwrap_err().code(), Code::NotFound);
    assert!(!runc_state(&id).exists() && !is_mounted(&bundle));
    assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
    shim.leave(&id);
}

#[test]
fn a_killed_shim_leaves_what_delete_removes() {
    let node = Node::new();
    let id = unique(&node, "n5");
    let (bundle, request) = native(&node, &id, "sleep 1000");
    let mut shim = node.start(&bundle);
    let pid = shim.create_with(&bundle, request).unwrap();
    shim.empty("Start", &id).unwrap();
    let connected: slipway_shim_pod::api::task::ConnectResponse =
        shim.call("Connect", &task(&id)).unwrap();
    let own = rustix::process::Pid::from_raw(connected.shim_pid.cast_signed()).unwrap();
    rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
    wait_for("the shim to end", || {
        slipway_shim_pod::record::born(connected.shim_pid)
            .is_none_or(|_| is_zombie(connected.shim_pid))
            .then_some(())
    });
    assert!(runc_state(&id).exists() && is_mounted(&bundle));
    for _ in 0..2 {
        node.run(&bundle, &["delete"], b"");
        assert!(!runc_state(&id).exists() && !is_mounted(&bundle));
        assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
        assert!(!Path::new(&format!("/proc/{pid}")).exists() || is_zombie(pid));
    }
}

/// Whoever is its parent here may not reap.
fn is_zombie(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("State:\tZ")
}

#[test]
fn a_program_that_is_not_there_is_left_to_the_wasm_side() {
    let node = Node::new();
    let id = unique(&node, "n6");
    let (bundle, request) = native_program(&node, &id, &["print", "not native", "0"]);
    let (stdout, out) = node.fifo("out");
    let mut shim = node.start(&bundle);
    let request = CreateTaskRequest { stdout, ..request };
    shim.create_with(&bundle, request).unwrap();
    assert!(!is_mounted(&bundle));
    shim.empty("Start", &id).unwrap();
    assert_eq!(shim.wait(&id), 0);
    assert_eq!(read_to_end(out), "not native\n");
    shim.delete(&id).unwrap();
    shim.leave(&id);
}
