//! The pod's own container.

use std::io::Read as _;
use std::path::Path;

use slipway_shim_pod::api::task::CreateTaskRequest;
use slipway_shim_pod::api::types::Status;

use crate::harness::{Node, cgroups, join, namespace, read_to_end, wait_for};

fn status_line(pid: u32, name: &str) -> String {
    status_line_if_there(pid, name).unwrap()
}

/// Nothing of a process that has ended meanwhile.
fn status_line_if_there(pid: u32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    Some(line[name.len()..].trim().to_owned())
}

#[test]
fn it_sleeps_in_namespaces_of_its_own_with_nothing_in_hand() {
    let node = Node::new();
    let bundle = node.bundle("pod1", "pod1", "sandbox", &["/pause"]);
    let mut shim = node.start(&bundle);
    let pid = shim.create(&bundle).unwrap();
    assert_eq!(shim.state("pod1").status(), Status::Created);
    shim.empty("Start", "pod1").unwrap();
    assert_eq!(shim.state("pod1").status(), Status::Running);
    assert_eq!(shim.pids("pod1"), [pid]);

    assert!(status_line(pid, "NSpid:").ends_with("\t1"));
    assert_eq!(status_line(pid, "Uid:"), "65534\t65534\t65534\t65534");
    for set in ["CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "CapInh:"] {
        assert_eq!(status_line(pid, set), "0000000000000000", "{set}");
    }
    assert_eq!(status_line(pid, "NoNewPrivs:"), "1");
    let own = |kind: &str| {
        let link = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/{kind}")).unwrap();
        link(&pid.to_string()) != link("self")
    };
    for kind in ["pid", "ipc", "uts", "mnt", "net"] {
        assert!(own(kind), "{kind}");
    }
    let root = std::fs::read_dir(format!("/proc/{pid}/root")).unwrap();
    assert_eq!(root.count(), 0, "its root is empty");
    // It says that it stands, and then lets go of what it said so on.
    wait_for(
        "nothing but the standard streams in the sleeper's hand",
        || {
            let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
            (descriptors.count() == 3).then_some(())
        },
    );
    assert!(!cgroups(&node).is_empty());

    shim.kill("pod1", libc::SIGTERM).unwrap();
    assert_eq!(shim.wait("pod1"), 0);
    assert_eq!(shim.state("pod1").status(), Status::Stopped);
    assert_eq!(shim.delete("pod1").unwrap().exit_status, 0);
    assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
    shim.leave("pod1");
    let pid = format!("/proc/{pid}");
    assert!(!Path::new(&pid).exists());
    assert_eq!(
        node.events(4),
        [
            "/tasks/create pod1",
            "/tasks/start pod1",
            "/tasks/exit pod1",
            "/tasks/delete pod1"
        ]
    );
}

#[test]
fn a_killed_shim_is_cleaned_up_after() {
    let node = Node::new();
    let bundle = node.bundle("pod2", "pod2", "sandbox", &["/pause"]);
    let mut shim = node.start(&bundle);
    let pid = shim.create(&bundle).unwrap();
    shim.empty("Start", "pod2").unwrap();
    let connected: slipway_shim_pod::api::task::ConnectResponse =
        shim.call("Connect", &crate::harness::task("pod2")).unwrap();
    assert_eq!(connected.task_pid, pid);
    let shim_pid = rustix::process::Pid::from_raw(connected.shim_pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(shim_pid, rustix::process::Signal::KILL).unwrap();
    wait_for("the socket to be stale", || {
        (!slipway_shim_pod::socket::is_served(shim.socket.to_str().unwrap())).then_some(())
    });
    assert!(Path::new(&format!("/proc/{pid}")).exists());

    for _ in 0..2 {
        // Twice: it must not mind.
        let output = node.run(&bundle, &["delete"], b"");
        let deleted: slipway_shim_pod::api::task::DeleteResponse =
            prost::Message::decode(output.as_slice()).unwrap();
        assert_eq!(deleted.exit_status, 137);
        assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
        assert!(!shim.socket.exists());
    }
}

#[test]
fn a_sandbox_that_cannot_be_set_up_says_why() {
    let node = Node::new();
    let bundle = node.bundle("pod3", "pod3", "sandbox", &["/pause"]);
    let text = std::fs::read_to_string(bundle.path.join("config.json")).unwrap();
    let mut spec: serde_json::Value = serde_json::from_str(&text).unwrap();
    spec["linux"]["namespaces"][4]["path"] = "/nonexistent/netns".into();
    node.write_spec(&bundle.path, &spec);
    let mut shim = node.start(&bundle);
    let error = shim.create(&bundle).unwrap_err();
    assert!(
        error
            .message
            .contains("/nonexistent/netns: No such file or directory"),
        "{}",
        error.message
    );
    assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
    shim.leave("pod3");
}

/// A worker that is not the first process of its PID namespace takes nobody with it by itself.
#[test]
fn a_container_among_shared_processes_ends_with_all_of_its_own() {
    let node = Node::new();
    let sandbox = node.bundle("pod4", "pod4", "sandbox", &["/pause"]);
    let bundle = node.bundle("c4", "pod4", "container", &["orphan"]);
    let (stdout, reader) = node.fifo("out");
    let mut shim = node.start(&sandbox);
    let pause = shim.create(&sandbox).unwrap();
    shim.empty("Start", "pod4").unwrap();
    join(&node, &bundle, pause, &[("pid", "pid")]);
    let request = CreateTaskRequest {
        stdout,
        ..CreateTaskRequest::default()
    };
    let worker = shim.create_with(&bundle, request).unwrap();
    assert_eq!(namespace(worker, "pid"), namespace(pause, "pid"));
    shim.empty("Start", "c4").unwrap();
    let orphan = wait_for("the orphan", || {
        // The one between it and the worker ends at once. Its parent by then is the sleeper.
        let sleeper = Some(pause.to_string());
        let mut pids = shim.pids("c4").into_iter();
        pids.find(|pid| *pid != worker && status_line_if_there(*pid, "PPid:") == sleeper)
    });
    let mut line = [0; 16];
    let said = wait_for("its line", || {
        (&reader).read(&mut line).ok().filter(|read| *read > 0)
    });
    assert_eq!(line[..said].last(), Some(&b'\n'));
    shim.kill("c4", libc::SIGKILL).unwrap();
    assert_eq!(shim.wait("c4"), 137);
    wait_for("the orphan to be killed and reaped", || {
        let gone = !Path::new(&format!("/proc/{orphan}")).exists();
        gone.then_some(())
    });
    // Nobody else writes to it.
    assert_eq!(read_to_end(reader), "");
    assert_eq!(shim.state("pod4").status(), Status::Running);
    shim.delete("c4").unwrap();
    shim.kill("pod4", libc::SIGKILL).unwrap();
    shim.wait("pod4");
    shim.delete("pod4").unwrap();
    assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
    shim.leave("pod4");
}
