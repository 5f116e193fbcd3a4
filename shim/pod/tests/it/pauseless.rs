//! Pods without a pause container: the Sandbox API.

use std::path::{Path, PathBuf};

use prost::Message;
use slipway_shim_pod::api::cri::{
    DnsConfig, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption,
    PodSandboxConfig, UserNamespace,
};
use slipway_shim_pod::api::sandbox::{
    CreateSandboxRequest, PlatformResponse, SandboxRequest, SandboxStatusResponse,
    StartSandboxResponse,
};
use slipway_shim_pod::api::task::{ConnectResponse, WaitResponse};
use slipway_shim_pod::api::types::{Any, Empty, Status};
use slipway_shim_pod::ttrpc::message::Code;

use crate::harness::{Bundle, Node, Shim, cgroups, task, wait_for};

const TASKS: &str = "containerd.task.v3.Task";
const SANDBOXES: &str = "containerd.runtime.sandbox.v1.Sandbox";

/// A bundle as containerd makes one for a sandbox: no config.json, and a way into its root directory.
fn bundle(node: &Node, id: &str) -> Bundle {
    let place = format!("io.containerd.sandbox.controller.v1.shim/k8s.io/{id}");
    let path = node.path().join("state").join(&place);
    std::fs::create_dir_all(&path).unwrap();
    std::os::unix::fs::symlink(node.path().join("root").join(place), path.join("work")).unwrap();
    Bundle {
        id: id.to_owned(),
        path,
    }
}

fn start(node: &Node, bundle: &Bundle) -> Shim {
    let reply: serde_json::Value =
        serde_json::from_slice(&node.run(bundle, &["start"], b"")).unwrap();
    assert_eq!(reply["version"], 3, "only containerd 2 makes sandboxes");
    let mut shim = Shim::connect(reply["address"].as_str().unwrap());
    shim.service = SANDBOXES;
    shim
}

fn request(
    bundle: &Bundle,
    change: impl FnOnce(&mut PodSandboxConfig, &mut NamespaceOption),
) -> CreateSandboxRequest {
    let mut options = NamespaceOption {
        pid: NamespaceMode::Container.into(),
        ..NamespaceOption::default()
    };
    let mut pod = PodSandboxConfig {
        hostname: "a-pod".into(),
        dns_config: Some(DnsConfig {
            servers: vec!["10.0.0.10".into()],
            ..DnsConfig::default()
        }),
        ..PodSandboxConfig::default()
    };
    change(&mut pod, &mut options);
    let linux = pod.linux.get_or_insert_with(LinuxPodSandboxConfig::default);
    linux.security_context = Some(LinuxSandboxSecurityContext {
        namespace_options: Some(options),
    });
    CreateSandboxRequest {
        sandbox_id: bundle.id.clone(),
        bundle_path: bundle.path.display().to_string(),
        options: Some(Any {
            type_url: "runtime.v1.PodSandboxConfig".into(),
            value: pod.encode_to_vec(),
        }),
        ..CreateSandboxRequest::default()
    }
}

fn named(id: &str) -> SandboxRequest {
    SandboxRequest {
        sandbox_id: id.to_owned(),
    }
}

fn status(shim: &mut Shim, id: &str) -> String {
    let status: SandboxStatusResponse = shim.call("SandboxStatus", &named(id)).unwrap();
    status.state
}

fn namespace(pid: u32, kind: &str) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap()
}

/// Hangs up, after which the shim leaves.
fn leave(shim: Shim) {
    let socket = shim.socket.clone();
    drop(shim);
    wait_for("the shim to leave", || (!socket.exists()).then_some(()));
}

#[test]
fn the_pod_process_holds_the_namespaces_and_makes_the_files() {
    let node = Node::new();
    let pod = bundle(&node, "n1");
    let mut shim = start(&node, &pod);
    shim.call::<Empty>("CreateSandbox", &request(&pod, |_, _| {}))
        .unwrap();
    let again = shim.call::<Empty>("CreateSandbox", &request(&pod, |_, _| {}));
    assert_eq!(again.unwrap_err().code(), Code::AlreadyExists);
    let platform: PlatformResponse = shim.call("Platform", &named("n1")).unwrap();
    assert_eq!(platform.platform.unwrap().os, "linux");
    let started: StartSandboxResponse = shim.call("StartSandbox", &named("n1")).unwrap();
    assert!(started.spec.is_some() && started.created_at.is_some());
    shim.service = TASKS;
    let connected: ConnectResponse = shim.call("Connect", &task("n1")).unwrap();
    assert_eq!(started.pid, connected.shim_pid, "nobody else is there");
    shim.service = SANDBOXES;
    for kind in ["net", "ipc", "uts"] {
        let own = namespace(std::process::id(), kind);
        assert_ne!(namespace(started.pid, kind), own, "{kind}");
    }
    let cri = "io.containerd.grpc.v1.cri/sandboxes/n1";
    let (kept, shm) = (
        node.path().join("root").join(cri),
        node.path().join("state").join(cri).join("shm"),
    );
    let text = |name: &str| std::fs::read_to_string(kept.join(name)).unwrap();
    assert_eq!(text("hostname"), "a-pod\n");
    assert_eq!(text("resolv.conf"), "nameserver 10.0.0.10\n");
    assert!(shm.exists());
    // containerd removes them when it starts, and asks for the status before it makes a container.
    std::fs::remove_dir_all(&kept).unwrap();
    assert_eq!(status(&mut shim, "n1"), "SANDBOX_READY");
    assert_eq!(text("hostname"), "a-pod\n");

    // A container of it is a task as ever.
    let container = node.bundle("n1-c", "n1", "container", &["print", "hello", "3"]);
    shim.service = TASKS;
    shim.create(&container).unwrap();
    shim.empty("Start", "n1-c").unwrap();
    assert_eq!(shim.wait("n1-c"), 3);
    shim.delete("n1-c").unwrap();
    shim.empty("Shutdown", "n1-c").unwrap();

    shim.service = SANDBOXES;
    let mut waiting = Shim::connect(&format!("unix://{}", shim.socket.display()));
    waiting.service = SANDBOXES;
    waiting.begin("WaitSandbox", &named("n1"));
    shim.call::<Empty>("StopSandbox", &named("n1")).unwrap();
    let waited: WaitResponse = waiting.finish().unwrap();
    assert_eq!(waited.exit_status, 0);
    drop(waiting);
    assert_eq!(status(&mut shim, "n1"), "SANDBOX_NOTREADY");
    let own = namespace(std::process::id(), "net");
    assert_eq!(namespace(started.pid, "net"), own, "it has let go of them");
    shim.call::<Empty>("StopSandbox", &named("n1")).unwrap();
    shim.call::<Empty>("ShutdownSandbox", &named("n1")).unwrap();
    assert!(!kept.exists() && !shm.exists());
    leave(shim);
}

#[test]
fn shared_processes_have_a_sleeper_as_their_first() {
    let node = Node::new();
    let pod = bundle(&node, "n2");
    let mut shim = start(&node, &pod);
    let request = request(&pod, |_, options| options.pid = NamespaceMode::Pod.into());
    shim.call::<Empty>("CreateSandbox", &request).unwrap();
    let started: StartSandboxResponse = shim.call("StartSandbox", &named("n2")).unwrap();
    let text = std::fs::read_to_string(format!("/proc/{}/status", started.pid)).unwrap();
    let line = text.lines().find(|line| line.starts_with("NSpid:"));
    assert!(line.unwrap().ends_with("\t1"));
    shim.service = TASKS;
    assert_eq!(shim.state("n2").status(), Status::Running);
    shim.service = SANDBOXES;
    shim.call::<Empty>("StopSandbox", &named("n2")).unwrap();
    assert_eq!(status(&mut shim, "n2"), "SANDBOX_NOTREADY");
    assert!(!Path::new(&format!("/proc/{}", started.pid)).exists());
    shim.call::<Empty>("ShutdownSandbox", &named("n2")).unwrap();
    assert_eq!(cgroups(&node), Vec::<PathBuf>::new());
    leave(shim);
}

#[test]
fn what_cannot_be_made_is_refused_and_leaves_nothing() {
    let node = Node::new();
    let pod = bundle(&node, "n3");
    let mut shim = start(&node, &pod);
    let users = request(&pod, |_, options| {
        options.userns_options = Some(UserNamespace {
            mode: NamespaceMode::Pod.into(),
        });
    });
    let error = shim.call::<Empty>("CreateSandbox", &users).unwrap_err();
    assert!(error.message.contains("podsandbox"), "{}", error.message);
    let elsewhere = CreateSandboxRequest {
        netns_path: "/nonexistent/netns".into(),
        ..request(&pod, |_, _| {})
    };
    let error = shim.call::<Empty>("CreateSandbox", &elsewhere).unwrap_err();
    let expected = "/nonexistent/netns: No such file or directory";
    assert!(error.message.contains(expected), "{}", error.message);
    // As containerd does then.
    shim.call::<Empty>("ShutdownSandbox", &named("n3")).unwrap();
    let cri = node
        .path()
        .join("root")
        .join("io.containerd.grpc.v1.cri/sandboxes/n3");
    assert!(!cri.exists());
    leave(shim);
}

#[test]
fn the_files_of_a_killed_shim_are_removed_by_delete() {
    let node = Node::new();
    let pod = bundle(&node, "n4");
    let mut shim = start(&node, &pod);
    shim.call::<Empty>("CreateSandbox", &request(&pod, |_, _| {}))
        .unwrap();
    let started: StartSandboxResponse = shim.call("StartSandbox", &named("n4")).unwrap();
    let pid = rustix::process::Pid::from_raw(started.pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_for("the socket to be stale", || {
        (!slipway_shim_pod::socket::is_served(shim.socket.to_str().unwrap())).then_some(())
    });
    let cri = "io.containerd.grpc.v1.cri/sandboxes/n4";
    assert!(node.path().join("state").join(cri).exists());
    for _ in 0..2 {
        node.run(&pod, &["delete"], b"");
        assert!(!node.path().join("state").join(cri).exists());
        assert!(!node.path().join("root").join(cri).exists());
        assert!(!shim.socket.exists());
    }
}
