//! Pods and containers as a kubelet makes them, in few words.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::args::Driver;
use crate::cri::{
    AttachRequest, ContainerConfig, ContainerMetadata, ContainerState, ContainerStatus,
    ContainerStatusResponse, CreateContainerRequest, Empty, ExecRequest, ExecSyncRequest,
    ExecSyncResponse, Id, ImageSpec, LinuxContainerConfig, LinuxContainerResources,
    LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext,
    NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata, PodSandboxStatusResponse,
    PortForwardRequest, RunPodSandboxRequest, SandboxState, StatusRequest, StopContainerRequest,
};
use crate::log::{self, Line};
use crate::node::Node;
use crate::runtime::holder;
use crate::stream::Stream;
use crate::wait::{SOON, until};

/// The Kubernetes namespace of every pod made here.
pub const NAMESPACE: &str = "slipway-cri";

/// A pod.
#[derive(Debug)]
pub struct Pod<'a> {
    node: &'a Node,
    /// Its id.
    pub id: String,
    /// What it was made from.
    pub config: PodSandboxConfig,
}

/// A container in it.
#[derive(Debug, Clone)]
pub struct Container<'a> {
    node: &'a Node,
    /// Its id.
    pub id: String,
    /// Its log.
    pub log: PathBuf,
}

impl Node {
    /// What an ordinary pod is.
    ///
    /// # Errors
    /// When there is no place for its logs.
    pub fn pod_config(&self) -> Result<PodSandboxConfig> {
        let number = self.next_pod();
        let name = format!("pod-{number}");
        Ok(PodSandboxConfig {
            log_directory: self.folder(&name)?.display().to_string(),
            hostname: name.clone(),
            metadata: Some(PodSandboxMetadata {
                uid: format!("{}-{number}", std::process::id()),
                name,
                namespace: NAMESPACE.to_owned(),
                attempt: 0,
            }),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: match self.driver {
                    Driver::Systemd => "slipwaycri.slice".to_owned(),
                    Driver::Cgroupfs => "/slipwaycri".to_owned(),
                },
                // The kubelet's defaults.
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces()),
                    ..LinuxSandboxSecurityContext::default()
                }),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        })
    }

    /// Runs an ordinary pod.
    ///
    /// # Errors
    /// What containerd says.
    pub fn pod(&self) -> Result<Pod<'_>> {
        self.pod_with(|_| {})
    }

    /// Runs a pod after `change`.
    ///
    /// # Errors
    /// What containerd says.
    pub fn pod_with(&self, change: impl FnOnce(&mut PodSandboxConfig)) -> Result<Pod<'_>> {
        self.pod_of(&self.args.handler, change)
    }

    /// Runs a pod of some handler after `change`.
    ///
    /// # Errors
    /// What containerd says.
    pub fn pod_of(
        &self,
        handler: &str,
        change: impl FnOnce(&mut PodSandboxConfig),
    ) -> Result<Pod<'_>> {
        let mut config = self.pod_config()?;
        change(&mut config);
        let request = RunPodSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: handler.to_owned(),
        };
        let id: Id = self
            .runtime
            .cri("RunPodSandbox", &request)
            .context("RunPodSandbox")?;
        self.remember(&id.id);
        Ok(Pod {
            node: self,
            id: id.id,
            config,
        })
    }

    /// What an ordinary container is that runs a guest of the image.
    #[must_use]
    pub fn container_config(&self, guest: &str, args: &[&str]) -> ContainerConfig {
        let number = self.next_pod();
        let name = format!("{}-{number}", guest.replace('.', "-"));
        ContainerConfig {
            log_path: format!("{name}.log"),
            metadata: Some(ContainerMetadata { name, attempt: 0 }),
            image: Some(ImageSpec {
                image: self.args.image.clone(),
            }),
            command: vec![format!("/{guest}")],
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            linux: Some(LinuxContainerConfig {
                resources: Some(LinuxContainerResources {
                    cpu_shares: 102,
                    oom_score_adj: 1000,
                    ..LinuxContainerResources::default()
                }),
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: Some(namespaces()),
                    ..LinuxContainerSecurityContext::default()
                }),
            }),
            ..ContainerConfig::default()
        }
    }
}

/// A pod's own network and IPC, and processes by container: what the kubelet asks for unless told otherwise.
fn namespaces() -> NamespaceOption {
    NamespaceOption {
        network: NamespaceMode::Pod.into(),
        pid: NamespaceMode::Container.into(),
        ipc: NamespaceMode::Pod.into(),
        userns_options: None,
    }
}

impl<'a> Pod<'a> {
    /// Makes a container without starting it, after `change`.
    ///
    /// # Errors
    /// What containerd says.
    pub fn create_with(
        &self,
        guest: &str,
        args: &[&str],
        change: impl FnOnce(&mut ContainerConfig),
    ) -> Result<Container<'a>> {
        let mut config = self.node.container_config(guest, args);
        change(&mut config);
        let log = PathBuf::from(&self.config.log_directory).join(&config.log_path);
        let request = CreateContainerRequest {
            pod_sandbox_id: self.id.clone(),
            config: Some(config),
            sandbox_config: Some(self.config.clone()),
        };
        let id: Id = self
            .node
            .runtime
            .cri("CreateContainer", &request)
            .with_context(|| format!("CreateContainer of {guest}"))?;
        self.node.remember(&id.id);
        Ok(Container {
            node: self.node,
            id: id.id,
            log,
        })
    }

    /// Makes a container and starts it, after `change`.
    ///
    /// # Errors
    /// What containerd says.
    pub fn run_with(
        &self,
        guest: &str,
        args: &[&str],
        change: impl FnOnce(&mut ContainerConfig),
    ) -> Result<Container<'a>> {
        let container = self.create_with(guest, args, change)?;
        container.start()?;
        // The socket is in the bundle only from the first task on.
        self.node.remember(&container.id);
        Ok(container)
    }

    /// Makes an ordinary container and starts it.
    ///
    /// # Errors
    /// What containerd says.
    pub fn run(&self, guest: &str, args: &[&str]) -> Result<Container<'a>> {
        self.run_with(guest, args, |_| {})
    }

    /// How it is.
    ///
    /// # Errors
    /// What containerd says.
    pub fn status(&self) -> Result<PodSandboxStatusResponse> {
        let request = StatusRequest {
            id: self.id.clone(),
            verbose: true,
        };
        Ok(self.node.runtime.cri("PodSandboxStatus", &request)?)
    }

    /// Whether it is ready.
    ///
    /// # Errors
    /// What containerd says.
    pub fn is_ready(&self) -> Result<bool> {
        let status = self.status()?.status.unwrap_or_default();
        Ok(status.state() == SandboxState::Ready)
    }

    /// `PortForward` of one port.
    ///
    /// # Errors
    /// What containerd says.
    pub fn forward(&self, port: i32) -> Result<Stream> {
        let request = PortForwardRequest {
            pod_sandbox_id: self.id.clone(),
            port: vec![port],
        };
        let url: Id = self
            .node
            .runtime
            .cri("PortForward", &request)
            .context("PortForward")?;
        Stream::open(&url.id)
    }

    /// Its first process.
    ///
    /// # Errors
    /// When containerd does not say.
    pub fn process(&self) -> Result<u32> {
        pid_of(&self.status()?.info)
    }

    /// The process of its shim.
    ///
    /// # Errors
    /// When there is none.
    pub fn shim(&self) -> Result<rustix::process::Pid> {
        let socket = self.node.socket(&self.id);
        holder(&socket.context("the pod's bundle has no address")?)
    }

    /// `StopPodSandbox`.
    ///
    /// # Errors
    /// What containerd says.
    pub fn stop(&self) -> Result<()> {
        let id = Id {
            id: self.id.clone(),
        };
        self.node
            .runtime
            .cri::<Empty>("StopPodSandbox", &id)
            .context("StopPodSandbox")?;
        Ok(())
    }

    /// Stops and removes it.
    ///
    /// # Errors
    /// What containerd says.
    pub fn remove(&self) -> Result<()> {
        self.stop()?;
        let id = Id {
            id: self.id.clone(),
        };
        self.node
            .runtime
            .cri::<Empty>("RemovePodSandbox", &id)
            .context("RemovePodSandbox")?;
        Ok(())
    }
}

impl Container<'_> {
    /// `StartContainer`.
    ///
    /// # Errors
    /// What containerd says.
    pub fn start(&self) -> Result<()> {
        let id = Id {
            id: self.id.clone(),
        };
        self.node
            .runtime
            .cri::<Empty>("StartContainer", &id)
            .context("StartContainer")?;
        Ok(())
    }

    fn full_status(&self) -> Result<ContainerStatusResponse> {
        let request = StatusRequest {
            id: self.id.clone(),
            verbose: true,
        };
        Ok(self.node.runtime.cri("ContainerStatus", &request)?)
    }

    /// How it is.
    ///
    /// # Errors
    /// What containerd says.
    pub fn status(&self) -> Result<ContainerStatus> {
        Ok(self.full_status()?.status.unwrap_or_default())
    }

    /// Where it is in its life.
    ///
    /// # Errors
    /// What containerd says.
    pub fn state(&self) -> Result<ContainerState> {
        Ok(self.status()?.state())
    }

    /// Its process.
    ///
    /// # Errors
    /// When containerd does not say.
    pub fn process(&self) -> Result<u32> {
        pid_of(&self.full_status()?.info)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When that does not come soon.
    pub fn ended(&self) -> Result<ContainerStatus> {
        self.ended_within(SOON)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When that does not come in time.
    pub fn ended_within(&self, limit: Duration) -> Result<ContainerStatus> {
        until("the container to end", limit, || {
            let status = self.status()?;
            Ok((status.state() == ContainerState::Exited).then_some(status))
        })
    }

    /// Waits for its end with this code.
    ///
    /// # Errors
    /// When it ends otherwise; says what is in its log.
    pub fn ends_with(&self, code: i32) -> Result<ContainerStatus> {
        let status = self.ended()?;
        ensure!(
            status.exit_code == code,
            "it ended with {} ({}), not {code}; its log: {:?}",
            status.exit_code,
            status.reason,
            self.lines().unwrap_or_default()
        );
        Ok(status)
    }

    /// `StopContainer`.
    ///
    /// # Errors
    /// What containerd says.
    pub fn stop(&self, seconds: i64) -> Result<()> {
        let request = StopContainerRequest {
            container_id: self.id.clone(),
            timeout: seconds,
        };
        self.node
            .runtime
            .cri::<Empty>("StopContainer", &request)
            .context("StopContainer")?;
        Ok(())
    }

    /// `RemoveContainer`.
    ///
    /// # Errors
    /// What containerd says.
    pub fn remove(&self) -> Result<()> {
        let id = Id {
            id: self.id.clone(),
        };
        self.node
            .runtime
            .cri::<Empty>("RemoveContainer", &id)
            .context("RemoveContainer")?;
        Ok(())
    }

    /// `ExecSync`.
    ///
    /// # Errors
    /// What containerd says.
    pub fn exec(&self, cmd: &[&str], seconds: i64) -> Result<ExecSyncResponse> {
        let request = ExecSyncRequest {
            container_id: self.id.clone(),
            cmd: cmd.iter().map(|&word| word.to_owned()).collect(),
            timeout: seconds,
        };
        Ok(self.node.runtime.cri("ExecSync", &request)?)
    }

    /// `Exec` with standard input.
    ///
    /// # Errors
    /// What containerd says.
    pub fn exec_stream(&self, cmd: &[&str], tty: bool) -> Result<Stream> {
        let request = ExecRequest {
            container_id: self.id.clone(),
            cmd: cmd.iter().map(|&word| word.to_owned()).collect(),
            tty,
            stdin: true,
            stdout: true,
            // A terminal has one output; CRI refuses both.
            stderr: !tty,
        };
        let url: Id = self.node.runtime.cri("Exec", &request).context("Exec")?;
        Stream::open(&url.id)
    }

    /// `Attach`.
    ///
    /// # Errors
    /// What containerd says.
    pub fn attach(&self, stdin: bool, tty: bool) -> Result<Stream> {
        let request = AttachRequest {
            container_id: self.id.clone(),
            stdin,
            tty,
            stdout: true,
            stderr: !tty,
        };
        let url: Id = self
            .node
            .runtime
            .cri("Attach", &request)
            .context("Attach")?;
        Stream::open(&url.id)
    }

    /// Its log.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn lines(&self) -> Result<Vec<Line>> {
        log::read(&self.log)
    }

    /// What it wrote to one stream.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn output(&self, stream: &str) -> Result<Vec<String>> {
        let lines = self.lines()?.into_iter();
        Ok(lines
            .filter(|line| line.stream == stream)
            .map(|line| line.text)
            .collect())
    }

    /// Waits for a line of its log.
    ///
    /// # Errors
    /// When it does not come; says what is there instead.
    pub fn says(&self, wanted: &str) -> Result<()> {
        let mut last = Vec::new();
        let found = until(&format!("the line {wanted:?}"), SOON, || {
            last = self.lines().unwrap_or_default();
            Ok(last
                .iter()
                .any(|line| line.text.contains(wanted))
                .then_some(()))
        });
        found.with_context(|| format!("its log: {last:?}"))
    }
}

fn pid_of(info: &std::collections::HashMap<String, String>) -> Result<u32> {
    let info = info.get("info").context("a status without info")?;
    let info: Value = serde_json::from_str(info).context("the info of a status")?;
    let pid = info["pid"]
        .as_u64()
        .context("the info of a status has no pid")?;
    Ok(u32::try_from(pid)?)
}
