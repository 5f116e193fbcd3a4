//! A node's worth of temporary directories, the shim in it, and a containerd of a few lines.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use prost::Message;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use slipway_shim_pod::api::events::{ForwardRequest, TaskNotice};
use slipway_shim_pod::api::task::{
    CreateTaskRequest, CreateTaskResponse, DeleteResponse, KillRequest, PidsResponse,
    ProcessRequest, StateResponse, WaitResponse,
};
use slipway_shim_pod::ttrpc::client::Client;
use slipway_shim_pod::ttrpc::message::Status;
use slipway_shim_pod::ttrpc::server::{self, Server};

/// A compiler that compiles nothing: a container's layer it repeats its arguments for, or knows none.
const COMPILER: &[u8] = b"#!/bin/sh
case \"$*\" in
*' --named /none.wasm') exit 66 ;;
*--container*) echo \"asked $*\" >&4 ;;
*) echo 'not wasm: it looks like text' >&4 ;;
esac
exit 65
";

/// Nothing here takes this long, so a test that waits for it has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// A node.
pub(crate) struct Node {
    directory: tempfile::TempDir,
    shim: &'static Path,
    events: Arc<Mutex<Vec<String>>>,
}

/// A container's bundle.
pub(crate) struct Bundle {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
}

impl Node {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let listener = server::listen(directory.path().join("events").to_str().unwrap()).unwrap();
        collect(Server::new(listener), Arc::clone(&events));
        Self {
            directory,
            shim: install(),
            events,
        }
    }

    /// A bundle as CRI makes it: `kind` is `sandbox` or `container`, `args` what its process is told.
    pub(crate) fn bundle(&self, id: &str, pod: &str, kind: &str, args: &[&str]) -> Bundle {
        let path = self.directory.path().join("bundles").join(id);
        std::fs::create_dir_all(path.join("rootfs")).unwrap();
        let unique = self.directory.path().file_name().unwrap().to_str().unwrap();
        let namespaces = ["pid", "ipc", "uts", "mount", "network"];
        let namespaces = namespaces.map(|kind| json!({"type": kind}));
        let spec = json!({
            "ociVersion": "1.1.0",
            "process": {
                "args": args, "cwd": "/", "user": {"uid": 65534, "gid": 65534},
                "env": ["SECRET=of the guest"], "noNewPrivileges": true
            },
            "root": {"path": "rootfs", "readonly": true},
            "hostname": pod,
            "annotations": {
                "io.kubernetes.cri.container-type": kind,
                "io.kubernetes.cri.sandbox-id": pod,
            },
            "linux": {
                "cgroupsPath": format!("/slipway-test{unique}/{id}"),
                "namespaces": namespaces,
            },
        });
        self.write_spec(&path, &spec);
        Bundle {
            id: id.to_owned(),
            path,
        }
    }

    pub(crate) fn write_spec(&self, bundle: &Path, spec: &Value) {
        std::fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
    }

    /// Runs the shim in a bundle and returns its standard output; standard error must stay empty.
    pub(crate) fn run(&self, bundle: &Bundle, action: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.try_run(bundle, action, input);
        assert!(output.status.success(), "{action:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{action:?}: {output:?}");
        output.stdout
    }

    pub(crate) fn try_run(
        &self,
        bundle: &Bundle,
        action: &[&str],
        input: &[u8],
    ) -> std::process::Output {
        let mut child = Command::new(self.shim)
            .args(["-namespace", "test", "-id", &bundle.id, "-address"])
            .arg(self.directory.path())
            .args(action)
            .current_dir(&bundle.path)
            .env("TTRPC_ADDRESS", self.directory.path().join("events"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// `start`, and a connection to what it says.
    pub(crate) fn start(&self, bundle: &Bundle) -> Shim {
        let address = String::from_utf8(self.run(bundle, &["start"], b"")).unwrap();
        Shim::connect(&address)
    }

    /// Waits until so many events have come, and returns them as `topic id`.
    pub(crate) fn events(&self, count: usize) -> Vec<String> {
        wait_for(&format!("{count} events"), || {
            let events = self.events.lock().unwrap();
            (events.len() >= count).then(|| events.clone())
        })
    }

    /// Makes a FIFO and opens it for reading, as containerd does.
    pub(crate) fn fifo(&self, name: &str) -> (String, File) {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.directory.path().join(name);
        let path = path.to_str().unwrap().to_owned();
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        let mut options = File::options();
        let reader = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path);
        (path, reader.unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Installs the shim beside a worker that does what it is told and a compiler that compiles nothing. Once, before
/// any test forks: a program that some child still holds open for writing cannot be run (ETXTBSY).
fn install() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let shim = Path::new(env!("CARGO_BIN_EXE_containerd-shim-slipway-v1"));
        let worker = shim.with_file_name("examples").join("scripted_worker");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("slipway");
        std::fs::create_dir_all(&directory).unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = directory.join(name);
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, bytes).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&path, mode).unwrap();
            path
        };
        let worker = std::fs::read(&worker).unwrap_or_else(|error| {
            let hint = "cargo test builds it, but not with --test";
            panic!("{}: {error}; {hint}", worker.display())
        });
        put("slipway-worker", &worker);
        put("slipway-compile", COMPILER);
        put("containerd-shim-slipway-v1", &std::fs::read(shim).unwrap())
    })
}

/// Takes events until the process ends.
fn collect(mut server: Server, events: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        loop {
            let sources: Vec<_> = server.sources().map(|(source, ..)| source).collect();
            {
                let mut descriptors: Vec<_> = server
                    .sources()
                    .map(|(_, descriptor, interest)| PollFd::from_borrowed_fd(descriptor, interest))
                    .collect();
                poll(&mut descriptors, None).unwrap();
            }
            for source in sources {
                for (ticket, request) in server.ready(source) {
                    let forward = ForwardRequest::decode(request.payload.as_slice()).unwrap();
                    let envelope = forward.envelope.unwrap();
                    // Every event has the container's id as field 1.
                    let value = envelope.event.unwrap().value;
                    let id = TaskNotice::decode(value.as_slice()).unwrap().container_id;
                    events
                        .lock()
                        .unwrap()
                        .push(format!("{} {id}", envelope.topic));
                    server.answer(ticket, Ok(Vec::new()));
                }
            }
        }
    });
}

/// A connection to a pod process.
pub(crate) struct Shim {
    pub(crate) socket: PathBuf,
    client: Client,
    pub(crate) service: &'static str,
}

impl Shim {
    pub(crate) fn connect(address: &str) -> Self {
        let socket = address.strip_prefix("unix://").expect(address);
        Self {
            client: Client::connect(socket).unwrap(),
            socket: socket.into(),
            service: "containerd.task.v2.Task",
        }
    }

    /// Begins a call without waiting for its answer.
    pub(crate) fn begin(&mut self, method: &str, request: &impl Message) {
        let payload = request.encode_to_vec();
        self.client.call(self.service, method, payload).unwrap();
    }

    /// The answer of the call begun last.
    pub(crate) fn finish<M: Message + Default>(&mut self) -> Result<M, Status> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(answer) = self.client.ready().unwrap() {
                return answer.map(|payload| M::decode(payload.as_slice()).unwrap());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no answer");
            let timeout = Timespec {
                tv_sec: left.as_secs().try_into().unwrap(),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut descriptors = [PollFd::from_borrowed_fd(self.client.as_fd(), PollFlags::IN)];
            poll(&mut descriptors, Some(&timeout)).unwrap();
        }
    }

    pub(crate) fn call<M: Message + Default>(
        &mut self,
        method: &str,
        request: &impl Message,
    ) -> Result<M, Status> {
        self.begin(method, request);
        self.finish()
    }

    pub(crate) fn create(&mut self, bundle: &Bundle) -> Result<u32, Status> {
        self.create_with(bundle, CreateTaskRequest::default())
    }

    pub(crate) fn create_with(
        &mut self,
        bundle: &Bundle,
        request: CreateTaskRequest,
    ) -> Result<u32, Status> {
        let request = CreateTaskRequest {
            id: bundle.id.clone(),
            bundle: bundle.path.display().to_string(),
            ..request
        };
        let created: CreateTaskResponse = self.call("Create", &request)?;
        Ok(created.pid)
    }

    pub(crate) fn empty(&mut self, method: &str, id: &str) -> Result<(), Status> {
        self.call::<slipway_shim_pod::api::types::Empty>(method, &task(id))
            .map(drop)
    }

    pub(crate) fn state(&mut self, id: &str) -> StateResponse {
        self.call("State", &task(id)).unwrap()
    }

    pub(crate) fn pids(&mut self, id: &str) -> Vec<u32> {
        let pids: PidsResponse = self.call("Pids", &task(id)).unwrap();
        pids.processes.iter().map(|process| process.pid).collect()
    }

    pub(crate) fn wait(&mut self, id: &str) -> u32 {
        let waited: WaitResponse = self.call("Wait", &task(id)).unwrap();
        assert!(waited.exited_at.is_some());
        waited.exit_status
    }

    pub(crate) fn kill(&mut self, id: &str, signal: i32) -> Result<(), Status> {
        let request = KillRequest {
            id: id.to_owned(),
            signal: signal.try_into().unwrap(),
            ..KillRequest::default()
        };
        self.call::<slipway_shim_pod::api::types::Empty>("Kill", &request)
            .map(drop)
    }

    pub(crate) fn delete(&mut self, id: &str) -> Result<DeleteResponse, Status> {
        self.call("Delete", &task(id))
    }

    /// `Shutdown` and hanging up, after which a shim without tasks leaves.
    pub(crate) fn leave(mut self, id: &str) {
        self.empty("Shutdown", id).unwrap();
        let socket = self.socket.clone();
        drop(self);
        wait_for("the shim to leave", || (!socket.exists()).then_some(()));
    }
}

pub(crate) fn task(id: &str) -> ProcessRequest {
    ProcessRequest {
        id: id.to_owned(),
        exec_id: String::new(),
    }
}

/// Has a container join namespaces of another process, as CRI does with those of the sandbox or of a debug target.
pub(crate) fn join(node: &Node, bundle: &Bundle, pid: u32, kinds: &[(&str, &str)]) {
    let path = bundle.path.join("config.json");
    let mut spec: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for namespace in spec["linux"]["namespaces"].as_array_mut().unwrap() {
        let kind = kinds.iter().find(|(kind, _)| namespace["type"] == *kind);
        if let Some((_, file)) = kind {
            namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
        }
    }
    spec.as_object_mut().unwrap().remove("hostname");
    node.write_spec(&bundle.path, &spec);
}

/// A process's namespace of a kind.
pub(crate) fn namespace(pid: u32, kind: &str) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap()
}

/// Polls until there is something, or fails.
pub(crate) fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

/// Reads a FIFO to its end.
pub(crate) fn read_to_end(mut reader: File) -> String {
    rustix::io::ioctl_fionbio(&reader, false).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

/// Every directory of a cgroup hierarchy with this name.
pub(crate) fn cgroups(node: &Node) -> Vec<PathBuf> {
    let unique = node.path().file_name().unwrap().to_str().unwrap();
    let name = format!("slipway-test{unique}");
    let mut found = Vec::new();
    for mount in std::fs::read_dir("/sys/fs/cgroup").unwrap() {
        let parent = mount.unwrap().path().join(&name);
        let Ok(entries) = std::fs::read_dir(parent) else {
            continue;
        };
        let entries = entries.map(|entry| entry.unwrap());
        let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        found.extend(directories.map(|entry| entry.path()));
    }
    found
}

impl Drop for Node {
    /// The parents of the containers' cgroups are this test's own.
    fn drop(&mut self) {
        let unique = self.directory.path().file_name().unwrap().to_str().unwrap();
        if let Ok(mounts) = std::fs::read_dir("/sys/fs/cgroup") {
            for mount in mounts.flatten() {
                let _ = std::fs::remove_dir(mount.path().join(format!("slipway-test{unique}")));
            }
        }
    }
}
