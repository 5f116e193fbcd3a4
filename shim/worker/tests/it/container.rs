//! The worker as a container, with this test as its pod process. Needs root, as the worker does.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use slipway_shim_wire::{
    Channel, Mount, Namespace, NamespaceKind, Plan, ToPod, ToWorker, WORKER_FD,
};

use crate::{GROW, Guests, HELLO, WORKER, command, eventually, lossy};

/// A root file system with a module in it, and a worker that waits for its plan.
struct Pod {
    root: tempfile::TempDir,
    worker: Option<Child>,
    channel: Channel,
}

impl Pod {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["proc", "dev", "tmp"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("app.wasm"), "the module's bytes").unwrap();
        let log = root.path().join("tmp/termination-log");
        fs::write(&log, "").unwrap();
        // As the kubelet makes it: the container may run as anybody.
        fs::set_permissions(log, fs::Permissions::from_mode(0o666)).unwrap();
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let worker = spawn(&theirs);
        Self {
            root,
            worker: Some(worker),
            channel: Channel::new(ours),
        }
    }

    fn plan(&self, args: &[&str]) -> Plan {
        let mount = |fstype: &str, target: &str| Mount {
            fstype: fstype.into(),
            source: fstype.into(),
            target: target.into(),
            ..Mount::default()
        };
        let mut log = mount("", "/dev/termination-log");
        log.source = path(self.root.path(), "tmp/termination-log");
        log.flags = libc::MS_BIND;
        let mut plan = Plan {
            id: "test".into(),
            mounts: vec![mount("proc", "/proc"), mount("tmpfs", "/dev"), log],
            namespaces: vec![Namespace {
                kind: NamespaceKind::Mount,
                path: None,
            }],
            ..Plan::default()
        };
        plan.rootfs.path = self.root.path().to_owned();
        plan.process.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        plan.process.cwd = "/".into();
        plan.process.uid = 1234;
        plan.process.gid = 1234;
        plan
    }

    fn send(&self, message: &ToWorker, attached: Option<&File>) {
        use std::os::fd::AsFd;
        self.channel
            .send(message, attached.map(AsFd::as_fd))
            .unwrap();
    }

    /// That of a container that runs this, which is in its cgroup already.
    fn sends_plan(&self, args: &[&str]) {
        self.sends(self.plan(args));
    }

    fn sends(&self, plan: Plan) {
        self.send(&ToWorker::Plan(Box::new(plan)), None);
        self.send(&ToWorker::Placed, None);
    }

    fn receive(&mut self) -> (ToPod, Option<OwnedFd>) {
        self.channel.recv().unwrap()
    }

    /// Sends `Go` and tells exit status, stdout, stderr and termination message.
    fn go(mut self) -> (Option<i32>, String, String, String) {
        assert_eq!(self.receive().0, ToPod::Ready);
        self.send(&ToWorker::Go, None);
        let output = self.worker.take().unwrap().wait_with_output().unwrap();
        let message = fs::read_to_string(self.root.path().join("tmp/termination-log")).unwrap();
        (
            output.status.code(),
            lossy(&output.stdout),
            lossy(&output.stderr),
            message,
        )
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            // Gone already, or of no more use.
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

fn path(root: &Path, name: &str) -> String {
    root.join(name).to_str().unwrap().to_owned()
}

fn spawn(channel: &OwnedFd) -> Child {
    let channel = channel.as_raw_fd();
    let mut command = Command::new(WORKER);
    command.env_clear().stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: only dup2 and close_range between fork and exec, as the pod process does. A PID namespace is not made: it
    // would be for the worker's children.
    unsafe {
        command.pre_exec(move || {
            let next = WORKER_FD.cast_unsigned() + 1;
            let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
            if libc::dup2(channel, WORKER_FD) == -1
                || libc::close_range(next, libc::c_uint::MAX, flags) == -1
            {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command.spawn().unwrap()
}

#[test]
fn a_container_runs_from_plan_to_exit_status() {
    let mut pod = Pod::new();
    pod.sends_plan(&["/app.wasm"]);
    let (need, module) = pod.receive();
    let expected = ToPod::NeedCode {
        path: "/app.wasm".into(),
        on_rootfs: true,
    };
    assert_eq!(need, expected);
    let module = std::io::read_to_string(File::from(module.unwrap())).unwrap();
    assert_eq!(module, "the module's bytes");
    let code = File::open(Guests::new().compile(HELLO)).unwrap();
    pod.send(&ToWorker::Code, Some(&code));
    let (status, stdout, stderr, message) = pod.go();
    assert_eq!(status, Some(7), "{stderr}");
    assert_eq!((stdout.as_str(), stderr.as_str()), ("hello\n", ""));
    assert_eq!(message, "");
}

#[test]
fn a_component_is_mapped_by_an_unprivileged_worker() {
    let mut pod = Pod::new();
    pod.sends_plan(&["/app.wasm"]);
    pod.receive();
    let code = File::open(Guests::new().compile(&command("0.2.6", "", 1))).unwrap();
    pod.send(&ToWorker::Code, Some(&code));
    let (status, _, stderr, _) = pod.go();
    assert_eq!((status, stderr.as_str()), (Some(1), ""));
}

/// Descriptors of a worker whose guest runs: its streams, what tokio waits with, and the directory the guest sees.
#[test]
fn a_running_worker_holds_nothing_of_the_node() {
    let mut pod = Pod::new();
    pod.sends_plan(&["/app.wasm"]);
    pod.receive();
    let endless = r#"(module (func (export "_start") (loop (br 0))) (memory (export "memory") 1))"#;
    let code = File::open(Guests::new().compile(endless)).unwrap();
    pod.send(&ToWorker::Code, Some(&code));
    assert_eq!(pod.receive().0, ToPod::Ready);
    pod.send(&ToWorker::Go, None);
    let worker = pod.worker.as_ref().unwrap().id();
    let of = |name: &str| format!("/proc/{worker}/{name}");
    eventually("the guest to run", || {
        let stat = fs::read_to_string(of("stat")).unwrap();
        let ticks: u64 = stat.rsplit(' ').nth(52 - 14).unwrap().parse().unwrap();
        (ticks > 2).then_some(())
    });
    let status = fs::read_to_string(of("status")).unwrap();
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        found.map(str::trim).unwrap_or_default()
    };
    assert_eq!(line("Seccomp:"), "2");
    assert_eq!(line("NoNewPrivs:"), "1");
    assert_eq!(line("CapEff:"), "0000000000000000");
    assert_eq!(line("Uid:"), "1234\t1234\t1234\t1234");
    assert_eq!(fs::read(of("environ")).unwrap(), b"");
    assert_eq!(fs::metadata(of("mem")).unwrap().uid(), 0, "not dumpable");
    for entry in fs::read_dir(of("fd")).unwrap() {
        let link = fs::read_link(entry.unwrap().path()).unwrap();
        let link = link.to_str().unwrap();
        let own = ["pipe:", "anon_inode:[event", "socket:", "/dev/null"];
        let expected = own.iter().any(|one| link.starts_with(one))
            || link == "/"
            || link.ends_with("/pagemap")
            || link.ends_with("guest.cwasm (deleted)");
        assert!(expected, "a guest's process holds {link}");
    }
}

#[test]
fn a_raised_memory_limit_lets_the_guest_grow() {
    for (now, grown) in [("33554432\n", 27), ("67108864\n", 59), ("nonsense", 27)] {
        let mut pod = Pod::new();
        let mut plan = pod.plan(&["/app.wasm"]);
        plan.limits.memory = Some(32 << 20);
        let limit = pod.root.path().join("tmp/memory.max");
        fs::write(&limit, "33554432\n").unwrap();
        let file = File::open(&limit).unwrap();
        pod.send(&ToWorker::Plan(Box::new(plan)), None);
        pod.send(&ToWorker::Placed, Some(&file));
        pod.receive();
        fs::write(&limit, now).unwrap();
        let code = File::open(Guests::new().compile(GROW)).unwrap();
        pod.send(&ToWorker::Code, Some(&code));
        assert_eq!(pod.go().0, Some(grown), "{now}");
    }
}

#[test]
fn a_missing_file_is_said_after_go_and_in_the_termination_message() {
    let mut pod = Pod::new();
    pod.sends_plan(&["/none.wasm"]);
    // A layer of the image might be meant; here it has none.
    let ToPod::NeedImage {
        named,
        otherwise: message,
        exit_code,
    } = pod.receive().0
    else {
        panic!("the image was not asked for");
    };
    assert_eq!(named, "/none.wasm");
    pod.send(&ToWorker::NoCode { exit_code, message }, None);
    let (status, _, stderr, message) = pod.go();
    assert_eq!(status, Some(127));
    assert_eq!(
        stderr,
        "slipway: /none.wasm: no such file in the container\n"
    );
    assert_eq!(message, "/none.wasm: no such file in the container");
}

#[test]
fn why_there_is_no_code_is_said_after_go() {
    let mut pod = Pod::new();
    pod.sends_plan(&["/app.wasm"]);
    pod.receive();
    let refusal = ToWorker::NoCode {
        exit_code: 126,
        message: "/app.wasm: is text, not WebAssembly".into(),
    };
    pod.send(&refusal, None);
    let (status, stdout, stderr, message) = pod.go();
    assert_eq!((status, stdout.as_str()), (Some(126), ""));
    assert_eq!(stderr, "slipway: /app.wasm: is text, not WebAssembly\n");
    assert_eq!(message, "/app.wasm: is text, not WebAssembly");
}

#[test]
fn a_container_that_cannot_be_set_up_says_what_failed() {
    let mut pod = Pod::new();
    let mut plan = pod.plan(&["/app.wasm"]);
    plan.mounts[0].fstype = "nosuchfs".into();
    pod.sends(plan);
    let (ToPod::SetupFailed { message }, _) = pod.receive() else {
        panic!("a plan that cannot be carried out was");
    };
    assert!(message.contains("/proc"), "{message}");
}

#[test]
fn a_worker_without_its_pod_process_ends() {
    let mut pod = Pod::new();
    let worker = pod.worker.take().unwrap();
    drop(pod);
    let output = worker.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(76));
    assert!(lossy(&output.stderr).contains("closed by the other side"));
}

#[test]
fn an_annotation_that_is_wrong_is_an_exit() {
    let pod = Pod::new();
    let mut plan = pod.plan(&["/app.wasm"]);
    plan.annotations = vec![("slipway.dev/network".into(), "host".into())];
    pod.sends(plan);
    let (status, _, stderr, message) = pod.go();
    assert_eq!(status, Some(126));
    let expected = "annotation slipway.dev/network: expected pod or none, found \"host\"";
    assert_eq!(stderr, format!("slipway: {expected}\n"));
    assert_eq!(message, expected);
}

#[test]
fn an_annotation_that_is_not_known_is_a_warning() {
    let mut pod = Pod::new();
    let mut plan = pod.plan(&["/app.wasm"]);
    plan.annotations = vec![("slipway.dev/netwrok".into(), "none".into())];
    plan.options = "http_reuse = 1".into();
    pod.sends(plan);
    pod.receive();
    let code = File::open(Guests::new().compile(HELLO)).unwrap();
    pod.send(&ToWorker::Code, Some(&code));
    let (status, _, stderr, _) = pod.go();
    assert_eq!(status, Some(7));
    assert_eq!(
        stderr,
        "slipway: warning: annotation slipway.dev/netwrok is no annotation of slipway's shim\n"
    );
}
