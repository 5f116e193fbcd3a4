//! The node under test, and what the case at hand has made on it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::args::{Args, Driver};
use crate::cri::{Empty, Id, ListPodSandboxResponse, VersionResponse};
use crate::leavings::{self, Leavings};
use crate::pod::NAMESPACE;
use crate::runtime::{Paths, Runtime};
use crate::wait::until;

/// How long containerd and systemd may take to tidy up after the answer to `RemovePodSandbox`.
const TIDY: Duration = Duration::from_secs(15);

/// The node under test.
#[derive(Debug)]
pub struct Node {
    /// Its containerd.
    pub runtime: Runtime,
    /// As containerd gives it.
    pub version: String,
    /// As two numbers.
    pub minor: (u32, u32),
    /// What was said on the command line.
    pub args: Args,
    /// Where things are.
    pub paths: Paths,
    /// Who keeps cgroups.
    pub driver: Driver,
    made: Mutex<Made>,
}

/// What the case at hand has made.
#[derive(Debug, Default)]
struct Made {
    pods: u32,
    ids: Vec<String>,
    sockets: Vec<PathBuf>,
}

impl Node {
    /// Looks at the node that the arguments name.
    ///
    /// # Errors
    /// When its containerd is not there, or not as it should be.
    pub fn new(args: Args) -> Result<Self> {
        let runtime = Runtime::new(args.socket.clone(), args.start_command.clone());
        runtime.wait_ready()?;
        let version: VersionResponse = runtime.cri("Version", &Empty {})?;
        let driver = args.cgroup_driver.unwrap_or_else(|| {
            if Path::new("/run/systemd/system").exists() {
                Driver::Systemd
            } else {
                Driver::Cgroupfs
            }
        });
        Ok(Self {
            minor: runtime.minor()?,
            version: version.runtime_version,
            paths: runtime.paths(&args.handler)?,
            runtime,
            args,
            driver,
            made: Mutex::default(),
        })
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the node has cgroup v2.
    #[must_use]
    pub fn is_cgroup_v2(&self) -> bool {
        Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
    }

    /// Forgets the case before, and looks at what is there.
    pub fn begin(&self) -> Leavings {
        let mut made = self.made();
        made.ids.clear();
        made.sockets.clear();
        let _ = std::fs::remove_dir_all(&self.args.scratch);
        leavings::look(&self.paths, &[], &[])
    }

    /// A number for the next pod.
    pub fn next_pod(&self) -> u32 {
        let mut made = self.made();
        made.pods += 1;
        made.pods
    }

    /// Remembers a pod or a container, and the socket of its shim.
    pub fn remember(&self, id: &str) {
        let socket = self.socket(id);
        let mut made = self.made();
        made.ids.push(id.to_owned());
        made.sockets.extend(socket);
    }

    /// A folder for volumes and logs.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.args.scratch.join(name);
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// The bundle of a pod's first or of another container.
    #[must_use]
    pub fn bundle(&self, id: &str) -> PathBuf {
        // The second is for pods whose handler has `sandboxer = "shim"`.
        let plugins = ["runtime.v2.task", "sandbox.controller.v1.shim"];
        let [task, sandbox] = plugins.map(|plugin| {
            let folder = format!("io.containerd.{plugin}/k8s.io");
            self.paths.state.join(folder).join(id)
        });
        if sandbox.exists() { sandbox } else { task }
    }

    /// The socket of a container's shim.
    #[must_use]
    pub fn socket(&self, id: &str) -> Option<PathBuf> {
        let address = std::fs::read_to_string(self.bundle(id).join("address")).ok()?;
        address.trim().strip_prefix("unix://").map(PathBuf::from)
    }

    /// What is there now that was not before.
    #[must_use]
    pub fn left(&self, before: &Leavings) -> Vec<String> {
        let (ids, sockets) = {
            let made = self.made();
            (made.ids.clone(), made.sockets.clone())
        };
        let now = leavings::look(&self.paths, &ids, &sockets);
        now.difference(before).cloned().collect()
    }

    /// Waits until nothing is left.
    ///
    /// # Errors
    /// What is left, when it stays.
    pub fn nothing_is_left(&self, before: &Leavings) -> Result<()> {
        let gone = until("everything to be gone", TIDY, || {
            Ok(self.left(before).is_empty().then_some(()))
        });
        if gone.is_err() {
            let left = self.left(before);
            bail!("{} things are left: {}", left.len(), left.join(", "));
        }
        Ok(())
    }

    /// Removes every pod of these tests but those to keep, as a kubelet does with pods it does not want.
    ///
    /// # Errors
    /// The first that could not be removed; the others are.
    pub fn sweep(&self, keep: &[&str]) -> Result<()> {
        let pods: ListPodSandboxResponse = self.runtime.cri("ListPodSandbox", &Empty {})?;
        let mut result = Ok(());
        for pod in pods.items {
            let ours = pod.metadata.is_some_and(|m| m.namespace == NAMESPACE);
            if !ours || keep.contains(&pod.id.as_str()) {
                continue;
            }
            let id = Id { id: pod.id };
            for method in ["StopPodSandbox", "RemovePodSandbox"] {
                let done = self.runtime.cri::<Empty>(method, &id);
                let done = done
                    .map(drop)
                    .with_context(|| format!("{method} {}", id.id));
                result = result.and(done);
            }
        }
        result
    }
}
