//! Output that goes to a file or to a logging program.

use slipway_shim_pod::api::task::{
    CreateTaskRequest, ExecProcessRequest, ProcessRequest, StartResponse, WaitResponse,
};
use slipway_shim_pod::api::types::{Any, Empty};
use slipway_shim_pod::ttrpc::message::Code;

use crate::harness::{Node, task, wait_for};

/// A logger that is ready once `before` is done, and then writes what it reads and what it was told to `file`.
fn logger(scheme: &str, before: &str, file: &std::path::Path) -> String {
    let script = format!(
        "{before}; echo >%265; exec 5>%26-; cat <%263 >>{0}; cat <%264 >>{0}; echo $CONTAINER_ID $CONTAINER_NAMESPACE >>{0}",
        file.display()
    );
    format!("{scheme}:///bin/sh?-c={script}")
}

fn logged(uri: String) -> CreateTaskRequest {
    CreateTaskRequest {
        stdout: uri.clone(),
        stderr: uri,
        ..CreateTaskRequest::default()
    }
}

#[test]
fn a_logger_has_the_output_of_a_container_and_another_that_of_its_exec() {
    let node = Node::new();
    let bundle = node.bundle("l1", "l1", "container", &["print", "hello", "0"]);
    let (gate, log) = (node.path().join("gate"), node.path().join("log"));
    let before = format!("while ! test -e {}; do sleep 0.01; done", gate.display());
    let mut shim = node.start(&bundle);
    // Create is not answered before the logger is ready; whatever else is asked is.
    let mut other = crate::harness::Shim::connect(&format!("unix://{}", shim.socket.display()));
    let request = CreateTaskRequest {
        id: "l1".into(),
        bundle: bundle.path.display().to_string(),
        ..logged(logger("binary-v2", &before, &log))
    };
    shim.begin("Create", &request);
    wait_for("the worker to stand", || {
        (other.call::<Empty>("State", &task("l1")).is_ok()).then_some(())
    });
    let early = other.empty("Start", "l1").unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition);
    std::fs::write(&gate, "").unwrap();
    shim.finish::<slipway_shim_pod::api::task::CreateTaskResponse>()
        .unwrap();

    let exec_log = node.path().join("exec-log");
    let exec = ExecProcessRequest {
        id: "l1".into(),
        exec_id: "x1".into(),
        stdout: logger("binary", "true", &exec_log),
        spec: Some(Any {
            type_url: String::new(),
            value: br#"{"user":{"uid":0,"gid":0},"cwd":"/","args":["print","from the exec","0"]}"#
                .to_vec(),
        }),
        ..ExecProcessRequest::default()
    };
    shim.call::<Empty>("Exec", &exec).unwrap();
    let process = ProcessRequest {
        id: "l1".into(),
        exec_id: "x1".into(),
    };
    shim.call::<StartResponse>("Start", &process).unwrap();
    let waited: WaitResponse = shim.call("Wait", &process).unwrap();
    assert_eq!(waited.exit_status, 0);
    shim.empty("Start", "l1").unwrap();
    assert_eq!(shim.wait("l1"), 0);
    shim.delete("l1").unwrap();
    // The shim waits for its loggers.
    drop(other);
    shim.leave("l1");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "hello\nl1 test\n");
    let exec_log = std::fs::read_to_string(exec_log).unwrap();
    assert_eq!(exec_log, "from the exec\nx1 test\n");
}

#[test]
fn a_terminals_output_goes_to_a_logger_too() {
    let node = Node::new();
    let bundle = node.bundle("l2", "l2", "container", &["print", "hello", "0"]);
    let log = node.path().join("log");
    let mut shim = node.start(&bundle);
    let request = CreateTaskRequest {
        terminal: true,
        stdout: logger("binary", "true", &log),
        ..CreateTaskRequest::default()
    };
    shim.create_with(&bundle, request).unwrap();
    shim.empty("Start", "l2").unwrap();
    assert_eq!(shim.wait("l2"), 0);
    shim.delete("l2").unwrap();
    shim.leave("l2");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "hello\r\nl2 test\n");
}

#[test]
fn a_logger_that_is_not_there_or_does_not_get_ready_fails_create() {
    let node = Node::new();
    let bundle = node.bundle("l3", "l3", "container", &["sleep"]);
    let mut shim = node.start(&bundle);
    for (uri, reason) in [
        (
            "binary:///no/such",
            "task l3: logger /no/such: No such file or directory (os error 2)",
        ),
        (
            "binary-v2:///bin/true",
            "task l3: logger /bin/true: hung up without saying that it is ready; it may have crashed",
        ),
    ] {
        let error = shim.create_with(&bundle, logged(uri.into())).unwrap_err();
        assert_eq!(error.message, reason);
        let gone = shim.empty("State", "l3").unwrap_err();
        assert_eq!(gone.code(), Code::NotFound);
    }
    shim.leave("l3");
}

#[test]
fn a_file_is_made_with_its_directories() {
    let node = Node::new();
    let bundle = node.bundle("l4", "l4", "container", &["print", "hello", "0"]);
    let log = node.path().join("a").join("b").join("log");
    let mut shim = node.start(&bundle);
    let request = logged(format!("file://{}", log.display()));
    shim.create_with(&bundle, request).unwrap();
    shim.empty("Start", "l4").unwrap();
    shim.wait("l4");
    shim.delete("l4").unwrap();
    shim.leave("l4");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "hello\n");
}
