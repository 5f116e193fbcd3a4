//! What containerd relies on whatever runs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use prost::Message;
use slipway_shim_pod::api::bootstrap::BootstrapParams;
use slipway_shim_pod::api::task::CreateTaskRequest;
use slipway_shim_pod::api::types::{RuntimeInfo, Status};
use slipway_shim_pod::ttrpc::message::Code;

use crate::harness::{Node, Shim, task};

#[test]
fn an_old_containerd_gets_the_bare_address_and_a_new_one_version_3() {
    let node = Node::new();
    let bundle = node.bundle("a1", "a1", "sandbox", &["/pause"]);
    let plain = String::from_utf8(node.run(&bundle, &["start"], b"")).unwrap();
    let file = std::fs::read_to_string(bundle.path.join("address")).unwrap();
    assert_eq!(plain, file);

    let params = BootstrapParams {
        instance_id: "a2".into(),
        socket_dir: Some(node.path().join("sockets").display().to_string()),
        ..BootstrapParams::default()
    };
    let bundle = node.bundle("a2", "a2", "sandbox", &["/pause"]);
    let output = node.run(&bundle, &["start"], &params.encode_to_vec());
    let reply: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(reply["version"], 3);
    assert_eq!(reply["protocol"], "ttrpc");
    let address = reply["address"].as_str().unwrap();
    assert!(address.starts_with(&format!("unix://{}/sockets/", node.path().display())));

    Shim::connect(&plain).leave("a1");
    Shim::connect(address).leave("a2");
}

#[test]
fn the_containers_of_a_pod_share_one_shim_and_it_stays_for_the_last() {
    let node = Node::new();
    let first = node.bundle("s1", "s1", "sandbox", &["/pause"]);
    let second = node.bundle("s2", "s1", "container", &["sleep"]);
    let address = node.run(&first, &["start"], b"");
    assert_eq!(node.run(&second, &["start"], b""), address);
    let mut shim = Shim::connect(&String::from_utf8(address).unwrap());
    shim.create(&first).unwrap();
    shim.empty("Start", "s1").unwrap();
    shim.create(&second).unwrap();
    let taken = shim.create(&second).unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    shim.empty("Start", "s2").unwrap();
    shim.kill("s2", libc::SIGKILL).unwrap();
    assert_eq!(shim.wait("s2"), 137);
    shim.delete("s2").unwrap();
    // Task v2 says this after every container.
    shim.empty("Shutdown", "s2").unwrap();
    assert_eq!(shim.state("s1").status(), Status::Running);
    shim.kill("s1", libc::SIGKILL).unwrap();
    shim.wait("s1");
    shim.delete("s1").unwrap();
    shim.leave("s1");
}

#[test]
fn both_task_services_answer_and_everything_else_is_unimplemented() {
    let node = Node::new();
    let bundle = node.bundle("u1", "u1", "sandbox", &["/pause"]);
    let mut shim = node.start(&bundle);
    for service in ["containerd.task.v2.Task", "containerd.task.v3.Task"] {
        shim.service = service;
        assert_eq!(shim.empty("Pids", "u1").unwrap_err().code(), Code::NotFound);
        for method in ["Checkpoint", "Invented"] {
            let error = shim.empty(method, "u1").unwrap_err();
            assert_eq!(error.code(), Code::Unimplemented, "{method}");
        }
    }
    shim.service = "containerd.runtime.sandbox.v1.Sandbox";
    let error = shim.empty("SandboxMetrics", "u1").unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    let error = shim.empty("PingSandbox", "u1").unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    shim.service = "containerd.task.v2.Task";
    shim.leave("u1");
}

#[test]
fn bad_bytes_end_their_own_connection_only() {
    let node = Node::new();
    let bundle = node.bundle("b1", "b1", "sandbox", &["/pause"]);
    let mut shim = node.start(&bundle);
    shim.create(&bundle).unwrap();
    for bytes in [
        &[0xff; 64][..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0, 0, 0, 0, 0, 0, 0, 1, 2, 0],
    ] {
        let mut stream = UnixStream::connect(&shim.socket).unwrap();
        stream.write_all(bytes).unwrap();
        // Reset or closed: no answer and no more of it.
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    }
    assert_eq!(shim.state("b1").status(), Status::Created);
    shim.delete("b1").unwrap();
    shim.leave("b1");
}

#[test]
fn what_create_does_not_take_it_refuses_in_one_sentence() {
    let node = Node::new();
    let bundle = node.bundle("r1", "r1", "container", &["sleep"]);
    let mut shim = node.start(&bundle);
    let request = CreateTaskRequest {
        stdout: "ftp://host/log".into(),
        ..CreateTaskRequest::default()
    };
    let error = shim.create_with(&bundle, request).unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    std::fs::write(bundle.path.join("config.json"), "{").unwrap();
    let error = shim.create(&bundle).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message.contains("config.json"), "{}", error.message);
    assert_eq!(
        shim.empty("State", "r1").unwrap_err().code(),
        Code::NotFound
    );
    shim.leave("r1");
}

#[test]
fn it_tells_its_name_and_refuses_nonsense() {
    let node = Node::new();
    let bundle = node.bundle("i1", "i1", "sandbox", &["/pause"]);
    let info = RuntimeInfo::decode(node.run(&bundle, &["-info"], b"").as_slice()).unwrap();
    assert_eq!(info.name, "io.containerd.slipway.v1");
    let features = info.features.unwrap();
    assert!(features.type_url.ends_with("/features/Features"));
    let version = String::from_utf8(node.run(&bundle, &["-v"], b"")).unwrap();
    assert_eq!(
        version,
        format!("containerd-shim-slipway-v1 {}\n", env!("CARGO_PKG_VERSION"))
    );
    let output = node.try_run(&bundle, &["dance"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "containerd-shim-slipway-v1: unknown action \"dance\": expected start or delete\n"
    );
}

#[test]
fn an_unknown_task_is_connected_to_without_a_pid() {
    let node = Node::new();
    let bundle = node.bundle("k1", "k1", "sandbox", &["/pause"]);
    let mut shim = node.start(&bundle);
    let connected: slipway_shim_pod::api::task::ConnectResponse =
        shim.call("Connect", &task("k1")).unwrap();
    assert_eq!(connected.task_pid, 0);
    assert_ne!(connected.shim_pid, 0);
    shim.leave("k1");
}
