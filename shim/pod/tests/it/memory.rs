//! Want of memory, told of whichever process of a container is killed for it.

use slipway_shim_pod::api::task::{
    ExecProcessRequest, ProcessRequest, StartResponse, WaitResponse,
};
use slipway_shim_pod::api::types::{Any, Empty, Status};

use crate::harness::{Bundle, Node};

/// A container that may have 24 MiB.
fn limited(node: &Node, id: &str, args: &[&str]) -> Bundle {
    let bundle = node.bundle(id, id, "container", args);
    let text = std::fs::read_to_string(bundle.path.join("config.json")).unwrap();
    let mut spec: serde_json::Value = serde_json::from_str(&text).unwrap();
    spec["linux"]["resources"]["memory"]["limit"] = (24 << 20).into();
    node.write_spec(&bundle.path, &spec);
    bundle
}

#[test]
fn a_killed_child_of_the_guests_is_told_while_the_guest_runs() {
    let node = Node::new();
    let bundle = limited(&node, "m1", &["hog", "child"]);
    let mut shim = node.start(&bundle);
    shim.create(&bundle).unwrap();
    shim.empty("Start", "m1").unwrap();
    assert_eq!(
        node.events(3),
        ["/tasks/create m1", "/tasks/start m1", "/tasks/oom m1"]
    );
    assert_eq!(shim.state("m1").status(), Status::Running);
    shim.kill("m1", libc::SIGKILL).unwrap();
    assert_eq!(shim.wait("m1"), 137);
    shim.delete("m1").unwrap();
    shim.leave("m1");
    // Once only.
    assert_eq!(node.events(5)[3..], ["/tasks/exit m1", "/tasks/delete m1"]);
}

#[test]
fn a_killed_exec_is_told_before_its_exit() {
    let node = Node::new();
    let bundle = limited(&node, "m2", &["sleep"]);
    let mut shim = node.start(&bundle);
    shim.create(&bundle).unwrap();
    shim.empty("Start", "m2").unwrap();
    let exec = ExecProcessRequest {
        id: "m2".into(),
        exec_id: "x1".into(),
        spec: Some(Any {
            type_url: String::new(),
            value: br#"{"user":{"uid":0,"gid":0},"cwd":"/","args":["hog"]}"#.to_vec(),
        }),
        ..ExecProcessRequest::default()
    };
    shim.call::<Empty>("Exec", &exec).unwrap();
    let process = ProcessRequest {
        id: "m2".into(),
        exec_id: "x1".into(),
    };
    shim.call::<StartResponse>("Start", &process).unwrap();
    let waited: WaitResponse = shim.call("Wait", &process).unwrap();
    assert_eq!(waited.exit_status, 137);
    assert_eq!(shim.state("m2").status(), Status::Running);
    assert_eq!(
        node.events(6)[2..],
        [
            "/tasks/exec-added m2",
            "/tasks/exec-started m2",
            "/tasks/oom m2",
            "/tasks/exit m2"
        ]
    );
    shim.kill("m2", libc::SIGKILL).unwrap();
    shim.wait("m2");
    shim.delete("m2").unwrap();
    shim.leave("m2");
}
