//! Containers and execs with a terminal.

use std::fs::File;
use std::io::Write;

use slipway_shim_pod::api::task::{
    CreateTaskRequest, ExecProcessRequest, ProcessRequest, ResizePtyRequest, StartResponse,
    WaitResponse,
};
use slipway_shim_pod::api::types::{Any, Empty};
use slipway_shim_pod::ttrpc::message::Code;

use crate::harness::{Node, read_to_end};

fn size(id: &str, exec_id: &str) -> ResizePtyRequest {
    ResizePtyRequest {
        id: id.to_owned(),
        exec_id: exec_id.to_owned(),
        width: 132,
        height: 43,
    }
}

#[test]
fn a_guest_reads_lines_from_its_terminal_and_hears_of_its_size() {
    let node = Node::new();
    let bundle = node.bundle("t1", "t1", "container", &["terminal"]);
    let ((stdin, _held), (stdout, reader)) = (node.fifo("in"), node.fifo("out"));
    let mut shim = node.start(&bundle);
    let request = CreateTaskRequest {
        terminal: true,
        stdin: stdin.clone(),
        stdout,
        ..CreateTaskRequest::default()
    };
    shim.create_with(&bundle, request).unwrap();
    assert!(shim.state("t1").terminal);
    shim.call::<Empty>("ResizePty", &size("t1", "")).unwrap();
    shim.empty("Start", "t1").unwrap();
    let mut keyboard = File::options().write(true).open(stdin).unwrap();
    keyboard.write_all(b"hello\n").unwrap();
    assert_eq!(shim.wait("t1"), 0);
    // The first is the terminal's echo.
    assert_eq!(read_to_end(reader), "hello\r\nhello true 132x43\r\n");
    shim.delete("t1").unwrap();
    shim.leave("t1");
}

#[test]
fn an_exec_has_a_terminal_of_its_own_and_ctrl_c_ends_it() {
    let node = Node::new();
    let bundle = node.bundle("t2", "t2", "container", &["sleep"]);
    let mut shim = node.start(&bundle);
    shim.create(&bundle).unwrap();
    shim.empty("Start", "t2").unwrap();
    let error = shim
        .call::<Empty>("ResizePty", &size("t2", ""))
        .unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);

    let ((stdin, _held), (stdout, _reader)) = (node.fifo("in"), node.fifo("out"));
    let json = r#"{"user":{"uid":0,"gid":0},"cwd":"/","args":["sleep"],"terminal":true}"#;
    let exec = ExecProcessRequest {
        id: "t2".into(),
        exec_id: "x".into(),
        terminal: true,
        stdin: stdin.clone(),
        stdout,
        stderr: String::new(),
        spec: Some(Any {
            type_url: String::new(),
            value: json.into(),
        }),
    };
    shim.call::<Empty>("Exec", &exec).unwrap();
    let process = ProcessRequest {
        id: "t2".into(),
        exec_id: "x".into(),
    };
    shim.call::<StartResponse>("Start", &process).unwrap();
    shim.call::<Empty>("ResizePty", &size("t2", "x")).unwrap();
    let mut keyboard = File::options().write(true).open(stdin).unwrap();
    keyboard.write_all(b"\x03").unwrap();
    let waited: WaitResponse = shim.call("Wait", &process).unwrap();
    assert_eq!(waited.exit_status, 128 + 2);
    shim.kill("t2", libc::SIGKILL).unwrap();
    shim.wait("t2");
    shim.delete("t2").unwrap();
    shim.leave("t2");
}
