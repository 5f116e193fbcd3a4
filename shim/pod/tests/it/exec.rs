//! Other processes of a container.

use slipway_shim_pod::api::task::{
    DeleteResponse, ExecProcessRequest, KillRequest, PidsResponse, ProcessDetails, ProcessRequest,
    StartResponse, StateResponse, WaitResponse,
};
use slipway_shim_pod::api::types::{Any, Empty, Status};
use slipway_shim_pod::ttrpc::message::{self, Code};

use prost::Message;

use crate::harness::{Bundle, Node, Shim, read_to_end, task, wait_for};

/// An exec of a task, by name.
fn process(id: &str, exec_id: &str) -> ProcessRequest {
    ProcessRequest {
        id: id.to_owned(),
        exec_id: exec_id.to_owned(),
    }
}

fn request(id: &str, exec_id: &str, args: &[&str]) -> ExecProcessRequest {
    let process = serde_json::json!({
        "args": args, "cwd": "/", "user": {"uid": 65534, "gid": 65534}, "env": ["A=b"],
    });
    ExecProcessRequest {
        id: id.to_owned(),
        exec_id: exec_id.to_owned(),
        spec: Some(Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".to_owned(),
            value: process.to_string().into_bytes(),
        }),
        ..ExecProcessRequest::default()
    }
}

fn add(shim: &mut Shim, request: &ExecProcessRequest) -> Result<(), message::Status> {
    shim.call::<Empty>("Exec", request).map(drop)
}

fn start(shim: &mut Shim, id: &str, exec_id: &str) -> Result<u32, message::Status> {
    let started: StartResponse = shim.call("Start", &process(id, exec_id))?;
    Ok(started.pid)
}

fn wait(shim: &mut Shim, id: &str, exec_id: &str) -> u32 {
    let waited: WaitResponse = shim.call("Wait", &process(id, exec_id)).unwrap();
    waited.exit_status
}

fn delete(shim: &mut Shim, id: &str, exec_id: &str) -> Result<DeleteResponse, message::Status> {
    shim.call("Delete", &process(id, exec_id))
}

/// A container that runs until it is killed.
fn sleeping(node: &Node, id: &str) -> (Bundle, Shim) {
    let bundle = node.bundle(id, id, "container", &["sleep"]);
    let mut shim = node.start(&bundle);
    shim.create(&bundle).unwrap();
    shim.empty("Start", id).unwrap();
    (bundle, shim)
}

fn end(mut shim: Shim, id: &str) {
    shim.kill(id, libc::SIGKILL).unwrap();
    shim.wait(id);
    shim.delete(id).unwrap();
    shim.leave(id);
}

#[test]
fn it_runs_beside_the_first_with_streams_and_events_of_its_own() {
    let node = Node::new();
    let (_bundle, mut shim) = sleeping(&node, "e1");
    let (stdout, reader) = node.fifo("exec-out");
    let exec = ExecProcessRequest {
        stdout,
        ..request("e1", "x1", &["print", "from the exec", "5"])
    };
    add(&mut shim, &exec).unwrap();
    let state: StateResponse = shim.call("State", &process("e1", "x1")).unwrap();
    assert_eq!((state.pid, state.status()), (0, Status::Created));
    let again = add(&mut shim, &exec).unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);

    let pid = start(&mut shim, "e1", "x1").unwrap();
    assert_ne!(pid, shim.state("e1").pid);
    assert_eq!(wait(&mut shim, "e1", "x1"), 5);
    assert_eq!(read_to_end(reader), "from the exec\n");
    let deleted = delete(&mut shim, "e1", "x1").unwrap();
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 5));
    let again = delete(&mut shim, "e1", "x1").unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
    assert_eq!(shim.state("e1").status(), Status::Running);
    end(shim, "e1");
    assert_eq!(
        node.events(7),
        [
            "/tasks/create e1",
            "/tasks/start e1",
            "/tasks/exec-added e1",
            "/tasks/exec-started e1",
            "/tasks/exit e1",
            "/tasks/exit e1",
            "/tasks/delete e1"
        ]
    );
}

#[test]
fn it_is_in_the_containers_pid_namespace_and_cgroup_and_dies_with_it() {
    let node = Node::new();
    let (_bundle, mut shim) = sleeping(&node, "e2");
    add(&mut shim, &request("e2", "x1", &["sleep"])).unwrap();
    let pid = start(&mut shim, "e2", "x1").unwrap();
    let init = shim.state("e2").pid;
    let of = |pid: u32, name: &str| std::fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(of(pid, "ns/pid"), of(init, "ns/pid"));
    let cgroup = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(cgroup(pid), cgroup(init));
    let pids: PidsResponse = shim.call("Pids", &task("e2")).unwrap();
    let exec = pids.processes.iter().find(|p| p.pid == pid).unwrap();
    let info = exec.info.as_ref().unwrap();
    assert_eq!(info.type_url, "containerd.runc.v1.ProcessDetails");
    let details = ProcessDetails::decode(info.value.as_slice()).unwrap();
    assert_eq!(details.exec_id, "x1");
    assert_eq!(
        delete(&mut shim, "e2", "x1").unwrap_err().code(),
        Code::FailedPrecondition
    );

    shim.kill("e2", libc::SIGKILL).unwrap();
    assert_eq!(wait(&mut shim, "e2", "x1"), 137);
    assert_eq!(shim.wait("e2"), 137);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(
        start(&mut shim, "e2", "x1").unwrap_err().code(),
        Code::FailedPrecondition
    );
    shim.delete("e2").unwrap();
    shim.leave("e2");
}

#[test]
fn a_signal_for_all_reaches_execs_and_shutdown_leaves_them_alone() {
    let node = Node::new();
    let (_bundle, mut shim) = sleeping(&node, "e6");
    for exec_id in ["x1", "x2"] {
        add(&mut shim, &request("e6", exec_id, &["sleep"])).unwrap();
        start(&mut shim, "e6", exec_id).unwrap();
    }
    shim.empty("Shutdown", "e6").unwrap();
    let mut kill = KillRequest {
        id: "e6".into(),
        signal: libc::SIGUSR1.cast_unsigned(),
        all: true,
        exec_id: String::new(),
    };
    // The first process is PID 1 of its namespace, to which the default action does nothing.
    shim.call::<Empty>("Kill", &kill).unwrap();
    let killed = 128 + libc::SIGUSR1.cast_unsigned();
    assert_eq!(wait(&mut shim, "e6", "x1"), killed);
    assert_eq!(wait(&mut shim, "e6", "x2"), killed);
    assert_eq!(shim.state("e6").status(), Status::Running);
    kill.signal = 9;
    shim.call::<Empty>("Kill", &kill).unwrap();
    assert_eq!(shim.wait("e6"), 137);
    shim.delete("e6").unwrap();
    shim.leave("e6");
}

#[test]
fn a_failing_exec_is_its_own_failure() {
    let node = Node::new();
    let (_bundle, mut shim) = sleeping(&node, "e3");
    add(
        &mut shim,
        &request("e3", "x1", &["fail-setup", "no such user"]),
    )
    .unwrap();
    let error = start(&mut shim, "e3", "x1").unwrap_err();
    assert_eq!(error.message, "process x1 of task e3: no such user");
    // What containerd's client does with a process that did not start.
    let kill = KillRequest {
        id: "e3".into(),
        exec_id: "x1".into(),
        signal: 9,
        all: false,
    };
    let killed = shim.call::<Empty>("Kill", &kill).unwrap_err();
    assert_eq!(killed.code(), Code::NotFound);
    delete(&mut shim, "e3", "x1").unwrap();

    add(&mut shim, &request("e3", "x2", &["sleep"])).unwrap();
    delete(&mut shim, "e3", "x2").unwrap();
    let gone = shim.call::<StateResponse>("State", &process("e3", "x2"));
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);

    for (exec_id, spec, expected) in [
        ("../x", "{}", "no containerd identifier"),
        ("x3", "[]", "process: invalid"),
        (
            "x3",
            r#"{"user":{"uid":0,"gid":0},"cwd":"w"}"#,
            "process.cwd",
        ),
    ] {
        let mut exec = request("e3", exec_id, &[]);
        exec.spec = Some(Any {
            type_url: String::new(),
            value: spec.as_bytes().to_vec(),
        });
        let error = add(&mut shim, &exec).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message.contains(expected), "{}", error.message);
    }
    assert_eq!(shim.state("e3").status(), Status::Running);
    end(shim, "e3");
}

#[test]
fn a_sandbox_and_a_container_that_is_paused_or_over_take_none() {
    let node = Node::new();
    let (_bundle, mut shim) = sleeping(&node, "e4");
    shim.empty("Pause", "e4").unwrap();
    let exec = request("e4", "x1", &["sleep"]);
    let error = add(&mut shim, &exec).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message.contains("paused"), "{}", error.message);
    shim.empty("Resume", "e4").unwrap();
    shim.kill("e4", libc::SIGKILL).unwrap();
    shim.wait("e4");
    let error = add(&mut shim, &exec).unwrap_err();
    assert!(error.message.contains("has stopped"), "{}", error.message);
    shim.delete("e4").unwrap();
    assert_eq!(add(&mut shim, &exec).unwrap_err().code(), Code::NotFound);
    shim.leave("e4");

    let bundle = node.bundle("s4", "s4", "sandbox", &["/pause"]);
    let mut shim = node.start(&bundle);
    shim.create(&bundle).unwrap();
    shim.empty("Start", "s4").unwrap();
    let error = add(&mut shim, &request("s4", "x1", &["ls"])).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message.contains("exec into one of its containers"));
    end(shim, "s4");
}

#[test]
fn a_hundred_in_a_row_leave_nothing_behind() {
    let node = Node::new();
    let (_bundle, mut shim) = sleeping(&node, "e5");
    let connected: slipway_shim_pod::api::task::ConnectResponse =
        shim.call("Connect", &task("e5")).unwrap();
    let open = || {
        let folder = format!("/proc/{}/fd", connected.shim_pid);
        std::fs::read_dir(folder).unwrap().count()
    };
    let before = wait_for("quiet", || node.events(2).get(1).map(|_| open()));
    for number in 0..100 {
        let exec_id = format!("x{number}");
        add(&mut shim, &request("e5", &exec_id, &["print", "x", "0"])).unwrap();
        start(&mut shim, "e5", &exec_id).unwrap();
        assert_eq!(wait(&mut shim, "e5", &exec_id), 0);
        delete(&mut shim, "e5", &exec_id).unwrap();
    }
    wait_for("descriptors to be closed", || {
        (open() <= before).then_some(())
    });
    assert_eq!(shim.pids("e5").len(), 1);
    end(shim, "e5");
}
