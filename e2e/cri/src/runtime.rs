//! The containerd under test: its calls, its process, its end and its return.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use prost::Message;
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::cri::{
    Empty, Id, ListPidsResponse, MetricsRequest, MetricsResponse, RuntimeStatusRequest,
    RuntimeStatusResponse, VersionResponse,
};
use crate::grpc::{self, Status};
use crate::wait::{SOON, patiently, until};

/// The longest that a call may take: the kubelet's own patience.
const PATIENCE: Duration = Duration::from_secs(120);

/// containerd, by its socket.
#[derive(Debug, Clone)]
pub struct Runtime {
    socket: PathBuf,
    start_command: String,
}

/// Where containerd keeps what, and what a handler runs.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Of containerd, lost with a reboot.
    pub state: PathBuf,
    /// Of containerd, kept.
    pub root: PathBuf,
    /// Of CRI, lost with a reboot.
    pub cri_state: PathBuf,
    /// Of CRI, kept.
    pub cri_root: PathBuf,
    /// The shim's program.
    pub shim: PathBuf,
}

impl Runtime {
    /// The containerd that listens on `socket`, and is started by `start_command` (through `sh -c`).
    #[must_use]
    pub fn new(socket: PathBuf, start_command: String) -> Self {
        Self {
            socket,
            start_command,
        }
    }

    /// A connection of its own to the same containerd.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn connection(&self) -> Result<grpc::Connection, Status> {
        grpc::Connection::open(&self.socket, patiently(PATIENCE))
    }

    /// A method of CRI's `RuntimeService`.
    ///
    /// # Errors
    /// What containerd says.
    pub fn cri<R: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
    ) -> Result<R, Status> {
        let path = format!("/runtime.v1.RuntimeService/{method}");
        grpc::call(&self.socket, &path, None, request, patiently(PATIENCE))
    }

    /// A method of CRI's `ImageService`.
    ///
    /// # Errors
    /// What containerd says.
    pub fn images<R: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
    ) -> Result<R, Status> {
        let path = format!("/runtime.v1.ImageService/{method}");
        grpc::call(&self.socket, &path, None, request, patiently(PATIENCE))
    }

    /// A method of containerd's task service, in CRI's namespace.
    ///
    /// # Errors
    /// What containerd says.
    pub fn tasks<R: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
    ) -> Result<R, Status> {
        let path = format!("/containerd.services.tasks.v1.Tasks/{method}");
        grpc::call(
            &self.socket,
            &path,
            Some("k8s.io"),
            request,
            patiently(PATIENCE),
        )
    }

    /// `1.7`, for 1.7.24.
    ///
    /// # Errors
    /// When containerd does not answer.
    pub fn minor(&self) -> Result<(u32, u32)> {
        let version: VersionResponse = self.cri("Version", &Empty {})?;
        let text = version.runtime_version;
        let mut numbers = text.trim_start_matches('v').split('.').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
            _ => bail!("containerd calls its version {text:?}"),
        }
    }

    /// Waits until CRI says that the runtime and the network are ready.
    ///
    /// # Errors
    /// When that does not come.
    pub fn wait_ready(&self) -> Result<()> {
        until("containerd to be ready", SOON, || {
            let request = RuntimeStatusRequest { verbose: false };
            let Ok(answer) = self.cri::<RuntimeStatusResponse>("Status", &request) else {
                return Ok(None);
            };
            let conditions = answer.status.unwrap_or_default().conditions;
            let needed = ["RuntimeReady", "NetworkReady"];
            let ready = needed
                .iter()
                .all(|kind| conditions.iter().any(|c| c.kind == *kind && c.status));
            Ok(ready.then_some(()))
        })
    }

    /// Where things are, as containerd tells it.
    ///
    /// # Errors
    /// When it does not, or knows no such handler.
    pub fn paths(&self, handler: &str) -> Result<Paths> {
        let config = self.config()?;
        let path = |value: &Value| value.as_str().map(PathBuf::from);
        let runtime = &config["containerd"]["runtimes"][handler];
        let shim = path(&runtime["runtimeType"])
            .filter(|path| path.is_absolute())
            .with_context(|| format!("handler {handler}: its runtime_type is no absolute path"))?;
        let cri_state = path(&config["stateDir"]).context("the config has no stateDir")?;
        Ok(Paths {
            state: cri_state.parent().context("stateDir")?.to_owned(),
            root: path(&config["containerdRootDir"]).context("no containerdRootDir")?,
            cri_root: path(&config["rootDir"]).context("no rootDir")?,
            cri_state,
            shim,
        })
    }

    /// Whether there is a handler of this name.
    ///
    /// # Errors
    /// When containerd does not say.
    pub fn has_handler(&self, handler: &str) -> Result<bool> {
        Ok(!self.handler(handler)?.is_null())
    }

    /// What containerd's configuration says of a handler; null where there is none.
    ///
    /// # Errors
    /// When containerd does not say.
    pub fn handler(&self, handler: &str) -> Result<Value> {
        Ok(self.config()?["containerd"]["runtimes"][handler].take())
    }

    /// Whether a kubelet is told that a handler can give users of its own to a pod; since containerd 2.0.
    ///
    /// # Errors
    /// When containerd does not say.
    pub fn offers_users(&self, handler: &str) -> Result<bool> {
        let request = RuntimeStatusRequest { verbose: false };
        let answer: RuntimeStatusResponse = self.cri("Status", &request)?;
        let mut handlers = answer.runtime_handlers.into_iter();
        let found = handlers.find(|found| found.name == handler);
        let found = found.with_context(|| format!("Status has no handler {handler}"))?;
        Ok(found.features.is_some_and(|it| it.user_namespaces))
    }

    /// The configuration of CRI.
    fn config(&self) -> Result<Value> {
        let request = RuntimeStatusRequest { verbose: true };
        let answer: RuntimeStatusResponse = self.cri("Status", &request)?;
        let config = answer.info.get("config").context("Status has no config")?;
        serde_json::from_str(config).context("the config in Status")
    }

    /// The type and the bytes of a task's figures.
    ///
    /// # Errors
    /// When there are none.
    pub fn metrics(&self, id: &str) -> Result<(String, Vec<u8>)> {
        let request = MetricsRequest {
            filters: vec![format!("id=={id}")],
        };
        let answer: MetricsResponse = self.tasks("Metrics", &request)?;
        let metric = answer.metrics.into_iter().find(|metric| metric.id == id);
        let data = metric.and_then(|metric| metric.data);
        let data = data.with_context(|| format!("task {id} has no metrics"))?;
        Ok((data.type_url, data.value))
    }

    /// The processes of a task.
    ///
    /// # Errors
    /// What containerd says.
    pub fn pids(&self, id: &str) -> Result<Vec<u32>> {
        let answer: ListPidsResponse = self.tasks("ListPids", &Id { id: id.to_owned() })?;
        Ok(answer.processes.iter().map(|process| process.pid).collect())
    }

    /// containerd's process.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn process(&self) -> Result<Pid> {
        listener(&self.socket)
    }

    /// Ends containerd's process, and waits until it is gone.
    ///
    /// # Errors
    /// When it was not there or does not go.
    pub fn end(&self, signal: Signal) -> Result<()> {
        let pid = self.process()?;
        rustix::process::kill_process(pid, signal)?;
        until("containerd to end", SOON, || {
            Ok(rustix::process::test_kill_process(pid)
                .is_err()
                .then_some(()))
        })
    }

    /// Starts it again, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come.
    pub fn start(&self) -> Result<()> {
        self.start_by(&self.start_command)
    }

    /// Starts it by another command, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come.
    pub fn start_by(&self, command: &str) -> Result<()> {
        let status = Command::new("sh")
            .args(["-c", command])
            .status()
            .context("running the start command")?;
        ensure!(status.success(), "{command}: {status}");
        self.wait_ready()
    }

    /// Both.
    ///
    /// # Errors
    /// See [`Self::end`] and [`Self::start`].
    pub fn restart(&self, signal: Signal) -> Result<()> {
        self.end(signal)?;
        self.start()
    }
}

/// The process that made a socket listen.
///
/// # Errors
/// When nobody does.
fn listener(socket: &Path) -> Result<Pid> {
    let stream = std::os::unix::net::UnixStream::connect(socket)
        .with_context(|| format!("connecting to {}", socket.display()))?;
    Ok(rustix::net::sockopt::socket_peercred(&stream)?.pid)
}

/// The process that holds a listening socket; a shim's is not the one that made it listen.
///
/// # Errors
/// When there is none, or more than one.
pub fn holder(socket: &Path) -> Result<Pid> {
    /// `__SO_ACCEPTCON`, as /proc/net/unix shows it.
    const LISTENS: &str = "00010000";
    let table = std::fs::read_to_string("/proc/net/unix")?;
    let socket = socket.to_str().context("the name of the socket")?;
    let inode = table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words.get(7) == Some(&socket) && words.get(3) == Some(&LISTENS))
            .then(|| words.get(6).copied())?
    });
    let link = format!(
        "socket:[{}]",
        inode.with_context(|| format!("nobody serves {socket}"))?
    );
    let mut holders = Vec::new();
    for pid in crate::leavings::numbers(Path::new("/proc")) {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd"));
        let mut links = open.into_iter().flatten().flatten();
        if links.any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == Path::new(&link))) {
            holders.push(pid);
        }
    }
    match holders[..] {
        [pid] => Pid::from_raw(i32::try_from(pid)?).context("process 0"),
        _ => bail!("{socket} is held by the processes {holders:?}"),
    }
}
