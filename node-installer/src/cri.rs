//! containerd's own word: a client for the few CRI calls that prove what a running containerd offers.
//!
//! gRPC is HTTP/2 with five bytes before each message and the status in the trailers; for unary calls over a unix
//! socket that is a page of code on hyper and prost, which the workspace has anyway. tonic would bring its server,
//! balancer and middleware for the same five calls, and protoc or a build script for messages of which we read a
//! tenth.

mod channel;
pub mod messages;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::failure::Reason;
use crate::host::{HostRoot, root::RootError};
use messages::{
    ListPodSandboxRequest, ListPodSandboxResponse, PodSandbox, PodSandboxStatusRequest,
    PodSandboxStatusResponse, RuntimeConfigRequest, RuntimeConfigResponse, StatusRequest,
    StatusResponse,
};

/// For one call.
const CALL_LIMIT: Duration = Duration::from_secs(15);

/// Why the CRI did not answer.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// The socket's path.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Nobody listens.
    #[error("cannot connect to {socket}")]
    Connect {
        /// The local path.
        socket: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// HTTP/2 went wrong.
    #[error("{method} broke off")]
    Transport {
        /// The method.
        method: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server answered with an error.
    #[error("{method} answered {message:?} (code {code})")]
    Status {
        /// The method.
        method: &'static str,
        /// The gRPC code.
        code: u32,
        /// Its message.
        message: String,
    },
    /// No answer in time.
    #[error("{method} did not answer within {} seconds", .limit.as_secs())]
    Timeout {
        /// The method.
        method: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// An answer without what it must hold.
    #[error("{method} answered without {what}")]
    Incomplete {
        /// The method.
        method: &'static str,
        /// What is missing.
        what: &'static str,
    },
}

impl Reason for CriError {
    fn reason(&self) -> &'static str {
        match self {
            // Unimplemented: the socket is served by a containerd whose CRI plugin is off or failed to start.
            Self::Status { code: 12, .. } => "CriDisabled",
            _ => "CriUnavailable",
        }
    }
}

/// What `Status(verbose)` says, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CriStatus {
    /// The `RuntimeReady` condition.
    pub runtime_ready: bool,
    /// Why not, if it is not.
    pub message: String,
    /// `runtime_type` of every handler.
    pub runtimes: BTreeMap<String, String>,
    /// `SystemdCgroup` of the `runc` handler, if its options name it.
    pub systemd_cgroup: Option<bool>,
}

/// A client; it connects anew for each call, because containerd restarts in between.
#[derive(Debug)]
pub struct Cri<'r> {
    runtime: &'r Runtime,
    root: HostRoot,
    socket: PathBuf,
}

impl<'r> Cri<'r> {
    /// A client of the CRI server at a host path.
    pub fn new(runtime: &'r Runtime, root: &HostRoot, socket: &Path) -> Self {
        Self {
            runtime,
            root: root.clone(),
            socket: socket.to_owned(),
        }
    }

    /// Readiness, handlers and the cgroup driver.
    pub fn status(&self) -> Result<CriStatus, CriError> {
        let response: StatusResponse = self.call("Status", &StatusRequest { verbose: true })?;
        read_status(&response)
    }

    /// The cgroup driver, from a containerd that answers `RuntimeConfig` (2.0 and later); `true` is systemd.
    pub fn systemd_cgroup(&self) -> Result<Option<bool>, CriError> {
        let response: Result<RuntimeConfigResponse, _> =
            self.call("RuntimeConfig", &RuntimeConfigRequest {});
        match response {
            Ok(response) => Ok(response.linux.map(|linux| linux.cgroup_driver == 0)),
            Err(CriError::Status { code: 12, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every pod sandbox.
    pub fn sandboxes(&self) -> Result<Vec<PodSandbox>, CriError> {
        let response: ListPodSandboxResponse =
            self.call("ListPodSandbox", &ListPodSandboxRequest {})?;
        Ok(response.items)
    }

    /// The handler of a sandbox whose listing does not name one, as those of CRI-O: it stands in the sandbox's own spec
    /// (`pkg/annotations/internal.go`@v1.34.0).
    pub fn sandbox_handler(&self, id: &str) -> Result<Option<String>, CriError> {
        const HANDLER: &str = "/runtimeSpec/annotations/io.kubernetes.cri-o.RuntimeHandler";
        let info = self.sandbox_info(id)?;
        Ok(info.and_then(|info| Some(info.pointer(HANDLER)?.as_str()?.to_owned())))
    }

    /// The `runtime_type` a sandbox was made with, which an upgrade of the handler does not change.
    pub fn sandbox_runtime(&self, id: &str) -> Result<Option<String>, CriError> {
        let info = self.sandbox_info(id)?;
        Ok(info.and_then(|info| Some(info.get("runtimeType")?.as_str()?.to_owned())))
    }

    fn sandbox_info(&self, id: &str) -> Result<Option<Value>, CriError> {
        let request = PodSandboxStatusRequest {
            pod_sandbox_id: id.to_owned(),
            verbose: true,
        };
        let response: PodSandboxStatusResponse = self.call("PodSandboxStatus", &request)?;
        let info = response.info.get("info");
        Ok(info.and_then(|text| serde_json::from_str::<Value>(text).ok()))
    }

    fn call<Q, A>(&self, method: &'static str, request: &Q) -> Result<A, CriError>
    where
        Q: prost::Message,
        A: prost::Message + Default,
    {
        let socket = self.root.locate(&self.socket)?;
        self.runtime.block_on(async {
            match tokio::time::timeout(CALL_LIMIT, channel::unary(&socket, method, request)).await {
                Ok(result) => result,
                Err(_) => Err(CriError::Timeout {
                    method,
                    limit: CALL_LIMIT,
                }),
            }
        })
    }
}

/// `info["config"]` is containerd's CRI configuration as JSON on every version (`internal/cri/server/status.go`@v2.0,
/// `pkg/cri/server/status.go`@v1.7.34); CRI-O's is there below `crio`, under the names of its Go fields
/// (`createRuntimeInfo`, `server/runtime_status.go`@v1.34.0).
fn read_status(response: &StatusResponse) -> Result<CriStatus, CriError> {
    let incomplete = |what| CriError::Incomplete {
        method: "Status",
        what,
    };
    let conditions = response
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|condition| condition.r#type == "RuntimeReady");
    let ready = ready.ok_or_else(|| incomplete("the RuntimeReady condition"))?;
    let config = response
        .info
        .get("config")
        .ok_or_else(|| incomplete("its configuration"))?;
    let config: Value =
        serde_json::from_str(config).map_err(|_| incomplete("a readable configuration"))?;
    let found = |runtimes: &str, key: &'static str| {
        let runtimes = config.pointer(runtimes).and_then(Value::as_object);
        runtimes.map(|runtimes| (runtimes, key))
    };
    let (runtimes, key) = found("/containerd/runtimes", "runtimeType")
        .or_else(|| found("/crio/Runtimes", "RuntimePath"))
        .ok_or_else(|| incomplete("its runtimes"))?;
    let crio_driver = config.pointer("/crio/CgroupManagerName");
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(CriStatus {
        runtime_ready: ready.status,
        message: ready.message.clone(),
        runtimes: runtimes
            .iter()
            .map(|(name, entry)| (name.clone(), text(entry.get(key))))
            .collect(),
        systemd_cgroup: config
            .pointer("/containerd/runtimes/runc/options/SystemdCgroup")
            .and_then(Value::as_bool)
            .or_else(|| Some(crio_driver?.as_str()? == "systemd")),
    })
}

#[cfg(test)]
mod tests {
    use super::messages::{RuntimeCondition, RuntimeStatus};
    use super::*;

    fn response(config: &str) -> StatusResponse {
        let ready = RuntimeCondition {
            r#type: "RuntimeReady".to_owned(),
            status: true,
            ..Default::default()
        };
        StatusResponse {
            status: Some(RuntimeStatus {
                conditions: vec![ready],
            }),
            info: [("config".to_owned(), config.to_owned())].into(),
        }
    }

    #[test]
    fn handlers_and_driver_are_read_from_the_configuration() {
        let status = read_status(&response(
            r#"{"containerd":{"runtimes":{"runc":{"runtimeType":"io.containerd.runc.v2","options":{"SystemdCgroup":true}},
               "wasmtime":{"runtimeType":"/opt/slipway/x/containerd-shim-slipway-v1","options":null}}}}"#,
        ))
        .unwrap();
        assert_eq!(
            status.runtimes["wasmtime"],
            "/opt/slipway/x/containerd-shim-slipway-v1"
        );
        assert_eq!(status.systemd_cgroup, Some(true));
        assert!(status.runtime_ready);
    }

    #[test]
    fn cri_os_answer_names_programs() {
        let status = read_status(&response(
            r#"{"sandboxImage":"pause","crio":{"CgroupManagerName":"systemd","Runtimes":{
               "crun":{"RuntimePath":"/usr/bin/crun","RuntimeType":"oci"},
               "wasmedge":{"RuntimePath":"/usr/bin/crun-wasm","RuntimeType":"oci"}}}}"#,
        ))
        .unwrap();
        assert_eq!(status.runtimes["wasmedge"], "/usr/bin/crun-wasm");
        assert_eq!(status.systemd_cgroup, Some(true));
    }

    #[test]
    fn an_answer_without_runtimes_is_no_answer() {
        assert!(matches!(
            read_status(&response("{}")),
            Err(CriError::Incomplete { .. })
        ));
        assert!(matches!(
            read_status(&response("no json")),
            Err(CriError::Incomplete { .. })
        ));
        assert!(matches!(
            read_status(&StatusResponse::default()),
            Err(CriError::Incomplete { .. })
        ));
    }
}
