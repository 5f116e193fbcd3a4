//! Application containers, with a worker that does what its arguments say.

use prost::Message;
use slipway_shim_pod::api::task::CreateTaskRequest;
use slipway_shim_pod::api::types::{Any, RuntimeOptions, Status};
use slipway_shim_pod::ttrpc::message::Code;

use crate::harness::{Node, cgroups, read_to_end, task};

#[test]
fn it_goes_from_create_to_delete_with_its_output_and_its_events_in_order() {
    let node = Node::new();
    let bundle = node.bundle("c1", "p1", "container", &["print", "hello", "3"]);
    let (stdout, reader) = node.fifo("out");
    let mut shim = node.start(&bundle);
    let request = CreateTaskRequest {
        stdout,
        ..CreateTaskRequest::default()
    };
    let pid = shim.create_with(&bundle, request).unwrap();
    assert_eq!(shim.state("c1").pid, pid);
    assert_eq!(shim.state("c1").status(), Status::Created);
    shim.empty("Start", "c1").unwrap();
    assert_eq!(shim.wait("c1"), 3);
    assert_eq!(shim.state("c1").exit_status, 3);
    assert_eq!(shim.pids("c1"), [pid], "known until it is deleted");
    assert_eq!(read_to_end(reader), "hello\n");
    let again = shim.kill("c1", libc::SIGKILL).unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
    let deleted = shim.delete("c1").unwrap();
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 3));
    assert_eq!(shim.delete("c1").unwrap_err().code(), Code::NotFound);
    assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
    shim.leave("c1");
    assert_eq!(
        node.events(4),
        [
            "/tasks/create c1",
            "/tasks/start c1",
            "/tasks/exit c1",
            "/tasks/delete c1"
        ]
    );
}

#[test]
fn the_worker_has_four_descriptors_no_environment_and_is_pid_1() {
    let node = Node::new();
    let bundle = node.bundle("c2", "p2", "container", &["environment"]);
    let (stdout, reader) = node.fifo("out");
    let mut shim = node.start(&bundle);
    let request = CreateTaskRequest {
        stdout,
        ..CreateTaskRequest::default()
    };
    shim.create_with(&bundle, request).unwrap();
    shim.empty("Start", "c2").unwrap();
    assert_eq!(shim.wait("c2"), 0);
    assert_eq!(read_to_end(reader), "env=0 fds=4 pid=1\n");
    shim.delete("c2").unwrap();
    shim.leave("c2");
}

#[test]
fn options_of_the_handler_reach_a_container_that_comes_with_anothers() {
    let node = Node::new();
    let with = |type_url: &str, body: &str| {
        let options = RuntimeOptions {
            config_body: body.into(),
            ..RuntimeOptions::default()
        };
        Some(Any {
            type_url: type_url.into(),
            value: options.encode_to_vec(),
        })
    };
    let pod = node.bundle("p6", "p6", "sandbox", &["/pause"]);
    let bundle = node.bundle("c6", "p6", "container", &["options"]);
    let (stdout, reader) = node.fifo("out");
    let mut shim = node.start(&pod);
    let options = with("runtimeoptions.v1.Options", "network = \"none\"\n");
    let request = CreateTaskRequest {
        options,
        ..CreateTaskRequest::default()
    };
    shim.create_with(&pod, request).unwrap();
    shim.empty("Start", "p6").unwrap();
    let request = CreateTaskRequest {
        stdout,
        options: with("containerd.runc.v1.Options", "of another"),
        ..CreateTaskRequest::default()
    };
    shim.create_with(&bundle, request).unwrap();
    shim.empty("Start", "c6").unwrap();
    assert_eq!(shim.wait("c6"), 0);
    assert_eq!(read_to_end(reader), "network = \"none\"\n");
    shim.delete("c6").unwrap();
    shim.kill("p6", libc::SIGKILL).unwrap();
    shim.wait("p6");
    shim.delete("p6").unwrap();
    shim.leave("p6");
}

#[test]
fn a_setup_that_fails_fails_create_and_leaves_nothing() {
    for (args, sentence) in [
        (
            vec!["fail-setup", "mounting /data: permission denied"],
            "task c3: mounting /data: permission denied",
        ),
        (
            vec!["die"],
            "task c3: its process ended with exit status 9 while it was being set up",
        ),
    ] {
        let node = Node::new();
        let bundle = node.bundle("c3", "p3", "container", &args);
        let mut shim = node.start(&bundle);
        assert_eq!(shim.create(&bundle).unwrap_err().message, sentence);
        assert_eq!(shim.delete("c3").unwrap_err().code(), Code::NotFound);
        assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
        shim.leave("c3");
    }
}

#[test]
fn a_module_that_cannot_be_compiled_is_the_guests_failure_not_creates() {
    let node = Node::new();
    let module = node.path().join("app.wasm");
    std::fs::write(&module, "just text").unwrap();
    let args = ["load", module.to_str().unwrap()];
    let bundle = node.bundle("c4", "p4", "container", &args);
    let (stderr, reader) = node.fifo("err");
    let mut shim = node.start(&bundle);
    let request = CreateTaskRequest {
        stderr,
        ..CreateTaskRequest::default()
    };
    shim.create_with(&bundle, request).unwrap();
    shim.empty("Start", "c4").unwrap();
    assert_eq!(shim.wait("c4"), 126);
    let expected = format!("{}: not wasm: it looks like text\n", module.display());
    assert_eq!(read_to_end(reader), expected);
    shim.delete("c4").unwrap();
    shim.leave("c4");
}

#[test]
fn a_module_that_is_no_file_is_looked_for_in_the_image() {
    let node = Node::new();
    let run = |id: &str, named: &str| {
        let bundle = node.bundle(id, id, "container", &["layer", named]);
        let (stderr, reader) = node.fifo(&format!("err-{id}"));
        let mut shim = node.start(&bundle);
        let request = CreateTaskRequest {
            stderr,
            ..CreateTaskRequest::default()
        };
        shim.create_with(&bundle, request).unwrap();
        shim.empty("Start", id).unwrap();
        let status = shim.wait(id);
        shim.delete(id).unwrap();
        shim.leave(id);
        (status, read_to_end(reader))
    };
    let address = node.path().display();
    let expected = format!(
        "/: asked --cache /var/lib/slipway/cache --containerd {address} --namespace test --container l1 --named /\n"
    );
    assert_eq!(run("l1", "/"), (126, expected));
    let missing = "/none.wasm: no such file in the container\n".to_owned();
    assert_eq!(run("l2", "/none.wasm"), (127, missing));
}

#[test]
fn a_running_container_is_frozen_counted_and_killed() {
    let node = Node::new();
    let bundle = node.bundle("c5", "p5", "container", &["sleep"]);
    let mut shim = node.start(&bundle);
    shim.create(&bundle).unwrap();
    shim.empty("Start", "c5").unwrap();
    assert_eq!(
        shim.empty("Start", "c5").unwrap_err().code(),
        Code::FailedPrecondition
    );
    assert_eq!(
        shim.delete("c5").unwrap_err().code(),
        Code::FailedPrecondition
    );
    let stats: slipway_shim_pod::api::task::StatsResponse =
        shim.call("Stats", &task("c5")).unwrap();
    let type_url = stats.stats.unwrap().type_url;
    assert!(
        type_url.starts_with("io.containerd.cgroups.v"),
        "{type_url}"
    );

    shim.empty("Pause", "c5").unwrap();
    assert_eq!(shim.state("c5").status(), Status::Paused);
    let paused: slipway_shim_pod::api::task::StatsResponse =
        shim.call("Stats", &task("c5")).unwrap();
    assert_eq!(paused.stats.unwrap().type_url, type_url);
    shim.empty("Resume", "c5").unwrap();
    assert_eq!(shim.state("c5").status(), Status::Running);
    shim.empty("Pause", "c5").unwrap();
    // Asked before it happens: the answer must not keep the shim from anything else.
    let mut waiting = crate::harness::Shim::connect(&format!("unix://{}", shim.socket.display()));
    waiting.begin("Wait", &task("c5"));
    shim.kill("c5", libc::SIGKILL).unwrap();
    let waited: slipway_shim_pod::api::task::WaitResponse = waiting.finish().unwrap();
    assert_eq!(waited.exit_status, 137);
    drop(waiting);
    let ended = shim.call::<slipway_shim_pod::api::task::StatsResponse>("Stats", &task("c5"));
    assert_eq!(ended.unwrap_err().code(), Code::NotFound);
    shim.delete("c5").unwrap();
    shim.leave("c5");
    let events = node.events(7);
    assert_eq!(events[2], "/tasks/paused c5");
    assert_eq!(events[3], "/tasks/resumed c5");
}

#[test]
fn a_container_that_was_never_started_is_deleted() {
    let node = Node::new();
    let bundle = node.bundle("c6", "p6", "container", &["sleep"]);
    let mut shim = node.start(&bundle);
    shim.create(&bundle).unwrap();
    assert_eq!(shim.delete("c6").unwrap().exit_status, 137);
    assert_eq!(cgroups(&node), Vec::<std::path::PathBuf>::new());
    shim.leave("c6");
}
