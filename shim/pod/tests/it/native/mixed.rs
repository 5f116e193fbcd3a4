//! Native containers beside others of their pod.

use slipway_shim_pod::api::task::CreateTaskRequest;

use super::{native, unique};
use crate::harness::{Node, cgroups, join, namespace, read_to_end, wait_for};

#[test]
fn a_sidecar_shares_the_namespaces_of_the_pod() {
    let node = Node::new();
    let (pod, id) = (unique(&node, "p1"), unique(&node, "s1"));
    let sandbox = node.bundle(&pod, &pod, "sandbox", &["/pause"]);
    let mut shim = node.start(&sandbox);
    let pause = shim.create(&sandbox).unwrap();
    shim.empty("Start", &pod).unwrap();

    let (bundle, request) = native(&node, &id, "(sleep 0.1 &); exec sleep 1000");
    let shared = [
        ("network", "net"),
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("pid", "pid"),
    ];
    join(&node, &bundle, pause, &shared);
    let pid = shim.create_with(&bundle, request).unwrap();
    shim.empty("Start", &id).unwrap();
    for kind in ["net", "ipc", "uts", "pid"] {
        assert_eq!(namespace(pid, kind), namespace(pause, kind), "{kind}");
    }
    // The sleeper is the parent of what the shell has left behind, and reaps it.
    wait_for("the orphan to be gone", || {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        (comm == "sleep\n" && shim.pids(&id) == [pid]).then_some(())
    });
    shim.kill(&id, libc::SIGKILL).unwrap();
    assert_eq!(shim.wait(&id), 137);
    shim.delete(&id).unwrap();
    assert_eq!(shim.pids(&pod), [pause]);
    shim.kill(&pod, libc::SIGKILL).unwrap();
    shim.wait(&pod);
    shim.delete(&pod).unwrap();
    assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
    shim.leave(&pod);
}

#[test]
fn a_debug_container_sees_the_processes_of_its_target_and_ends_with_it() {
    let node = Node::new();
    let (target, id) = (unique(&node, "t1"), unique(&node, "d1"));
    let app = node.bundle(&target, &target, "container", &["sleep"]);
    let mut shim = node.start(&app);
    let worker = shim.create(&app).unwrap();
    shim.empty("Start", &target).unwrap();

    let (bundle, request) = native(&node, &id, "cat /proc/1/comm; exec sleep 1000 >&-");
    join(&node, &bundle, worker, &[("pid", "pid")]);
    let (stdout, out) = node.fifo("out");
    let request = CreateTaskRequest { stdout, ..request };
    let pid = shim.create_with(&bundle, request).unwrap();
    shim.empty("Start", &id).unwrap();
    assert_eq!(namespace(pid, "pid"), namespace(worker, "pid"));
    assert_eq!(shim.pids(&target), [worker]);
    wait_for("the shell to have said what it sees", || {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        (comm == "sleep\n").then_some(())
    });

    shim.kill(&target, libc::SIGKILL).unwrap();
    assert_eq!(shim.wait(&target), 137);
    assert_eq!(shim.wait(&id), 137);
    assert_eq!(read_to_end(out), "slipway-worker\n");
    for id in [&id, &target] {
        shim.delete(id).unwrap();
    }
    assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
    shim.leave(&target);
}
