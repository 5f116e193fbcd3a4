//! Other processes of native containers, and their terminals.

use std::fs::File;
use std::io::{Read, Write};

use serde_json::json;
use slipway_shim_pod::api::task::{
    CreateTaskRequest, DeleteResponse, ExecProcessRequest, ProcessRequest, ResizePtyRequest,
    StartResponse, WaitResponse,
};
use slipway_shim_pod::api::types::{Any, Empty};
use slipway_shim_pod::ttrpc::message;

use super::{native, unique};
use crate::harness::{Node, Shim, read_to_end, wait_for};

/// The container's own shell with a script.
fn exec(id: &str, exec_id: &str, script: &str) -> ExecProcessRequest {
    let process = json!({
        "args": ["/bin/sh", "-c", script], "cwd": "/", "user": {"uid": 65534, "gid": 65534},
        "env": ["PATH=/bin"], "noNewPrivileges": true,
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

fn process(id: &str, exec_id: &str) -> ProcessRequest {
    ProcessRequest {
        id: id.to_owned(),
        exec_id: exec_id.to_owned(),
    }
}

fn start_exec(shim: &mut Shim, request: &ExecProcessRequest) -> Result<u32, message::Status> {
    shim.call::<Empty>("Exec", request)?;
    let process = process(&request.id, &request.exec_id);
    let started: StartResponse = shim.call("Start", &process)?;
    Ok(started.pid)
}

fn wait_exec(shim: &mut Shim, id: &str, exec_id: &str) -> u32 {
    let waited: WaitResponse = shim.call("Wait", &process(id, exec_id)).unwrap();
    waited.exit_status
}

#[test]
fn other_processes_run_in_it_and_leave_nothing_behind() {
    let node = Node::new();
    let id = unique(&node, "n7");
    let (bundle, request) = native(&node, &id, "sleep 1000");
    let mut shim = node.start(&bundle);
    shim.create_with(&bundle, request).unwrap();
    shim.empty("Start", &id).unwrap();

    let (stdout, out) = node.fifo("out");
    let said = ExecProcessRequest {
        stdout,
        ..exec(&id, "x1", "echo $$ is not 1; exit 4")
    };
    let pid = start_exec(&mut shim, &said).unwrap();
    assert_eq!(wait_exec(&mut shim, &id, "x1"), 4);
    assert!(read_to_end(out).ends_with(" is not 1\n"));
    let deleted: DeleteResponse = shim.call("Delete", &process(&id, "x1")).unwrap();
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 4));

    let nowhere = json!({"args": ["/nowhere"], "cwd": "/", "user": {"uid": 0, "gid": 0}});
    let bad = ExecProcessRequest {
        spec: Some(Any {
            value: nowhere.to_string().into_bytes(),
            ..Any::default()
        }),
        ..exec(&id, "x2", "")
    };
    let error = start_exec(&mut shim, &bad).unwrap_err();
    let expected = format!("process x2 of task {id}: OCI runtime exec failed: ");
    assert!(error.message.starts_with(&expected), "{}", error.message);
    assert!(error.message.contains("/nowhere"), "{}", error.message);
    shim.call::<DeleteResponse>("Delete", &process(&id, "x2"))
        .unwrap();

    let sleeper = exec(&id, "x3", "sleep 1000");
    let pid = start_exec(&mut shim, &sleeper).unwrap();
    assert!(shim.pids(&id).contains(&pid));
    shim.kill(&id, libc::SIGKILL).unwrap();
    assert_eq!(shim.wait(&id), 137);
    assert_eq!(wait_exec(&mut shim, &id, "x3"), 137);
    shim.delete(&id).unwrap();
    let left: Vec<String> = std::fs::read_dir(&bundle.path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('x'))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    shim.leave(&id);

    let events = node.events(11);
    let exits = [format!("/tasks/exit {id}"), format!("/tasks/delete {id}")];
    assert_eq!(events[9..], exits, "{events:?}");
}

#[test]
fn a_process_may_end_before_runc_does() {
    let node = Node::new();
    let id = unique(&node, "n8");
    let (bundle, request) = native(&node, &id, "sleep 1000");
    let mut shim = node.start(&bundle);
    shim.create_with(&bundle, request).unwrap();
    shim.empty("Start", &id).unwrap();
    for round in 0..10 {
        let name = format!("r{round}");
        let request = exec(&id, &name, &format!("exit {round}"));
        start_exec(&mut shim, &request).unwrap();
        assert_eq!(wait_exec(&mut shim, &id, &name), round);
        shim.call::<DeleteResponse>("Delete", &process(&id, &name))
            .unwrap();
    }
    shim.kill(&id, libc::SIGKILL).unwrap();
    shim.wait(&id);
    shim.delete(&id).unwrap();
    shim.leave(&id);
}

/// A shell that says the size of its terminal for each line it reads.
const SAYS_SIZE: &str = "read line; echo $line on $(tty | cut -c1-8): $(stty size)";

#[test]
fn it_and_its_other_processes_have_terminals() {
    let node = Node::new();
    let id = unique(&node, "n9");
    let (bundle, request) = native(&node, &id, &format!("{SAYS_SIZE}; sleep 1000"));
    let path = bundle.path.join("config.json");
    let mut spec: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    spec["process"]["terminal"] = json!(true);
    spec["mounts"].as_array_mut().unwrap().push(json!({
        "destination": "/dev/pts", "type": "devpts", "source": "devpts",
        "options": ["newinstance", "ptmxmode=0666", "mode=0620"],
    }));
    node.write_spec(&bundle.path, &spec);
    let mut shim = node.start(&bundle);
    for exec_id in ["", "x"] {
        let ((stdin, _held), (stdout, out)) = (
            node.fifo(&format!("in{exec_id}")),
            node.fifo(&format!("out{exec_id}")),
        );
        if exec_id.is_empty() {
            let request = CreateTaskRequest {
                terminal: true,
                stdin: stdin.clone(),
                stdout,
                ..request.clone()
            };
            shim.create_with(&bundle, request).unwrap();
            shim.empty("Start", &id).unwrap();
        } else {
            let request = ExecProcessRequest {
                terminal: true,
                stdin: stdin.clone(),
                stdout,
                ..exec(&id, exec_id, SAYS_SIZE)
            };
            start_exec(&mut shim, &request).unwrap();
        }
        let size = ResizePtyRequest {
            id: id.clone(),
            exec_id: exec_id.to_owned(),
            width: 132,
            height: 43,
        };
        shim.call::<Empty>("ResizePty", &size).unwrap();
        let mut keyboard = File::options().write(true).open(stdin).unwrap();
        keyboard.write_all(b"here\n").unwrap();
        let said = if exec_id.is_empty() {
            read_lines(out, 2)
        } else {
            assert_eq!(wait_exec(&mut shim, &id, exec_id), 0);
            read_to_end(out)
        };
        // The first is the terminal's echo.
        assert_eq!(said, "here\r\nhere on /dev/pts: 43 132\r\n");
    }
    shim.kill(&id, libc::SIGKILL).unwrap();
    assert_eq!(shim.wait(&id), 137);
    shim.delete(&id).unwrap();
    assert!(!bundle.path.join("terminal").exists());
    shim.leave(&id);
}

/// So many lines of a stream that goes on.
fn read_lines(mut stream: File, count: usize) -> String {
    let mut text = Vec::new();
    wait_for("the lines", || {
        let mut chunk = [0; 256];
        if let Ok(read) = stream.read(&mut chunk) {
            text.extend_from_slice(&chunk[..read]);
        }
        let lines = text.iter().filter(|byte| **byte == b'\n').count();
        (lines >= count).then(|| String::from_utf8(text.clone()).unwrap())
    })
}
