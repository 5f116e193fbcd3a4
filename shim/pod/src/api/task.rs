//! `runtime/task/v3/shim.proto`. `runtime/task/v2/shim.proto` differs in the package name only.

use super::types::{Any, Mount, ProcessInfo, Status, Timestamp};

/// `containerd.task.v3.CreateTaskRequest`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateTaskRequest {
    /// Which task.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The directory with `config.json`.
    #[prost(string, tag = "2")]
    pub bundle: String,
    /// The snapshotter's mounts.
    #[prost(message, repeated, tag = "3")]
    pub rootfs: Vec<Mount>,
    /// Whether stdio is a terminal.
    #[prost(bool, tag = "4")]
    pub terminal: bool,
    /// Path of a FIFO, or empty.
    #[prost(string, tag = "5")]
    pub stdin: String,
    /// Path of a FIFO, a URI, or empty.
    #[prost(string, tag = "6")]
    pub stdout: String,
    /// Path of a FIFO, a URI, or empty.
    #[prost(string, tag = "7")]
    pub stderr: String,
    /// To restore from; not supported.
    #[prost(string, tag = "8")]
    pub checkpoint: String,
    /// Runtime options.
    #[prost(message, optional, tag = "10")]
    pub options: Option<Any>,
}

/// `containerd.task.v3.CreateTaskResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateTaskResponse {
    /// The container's first process.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
}

/// `containerd.task.v3.{Start,Delete,State,Wait,Pids,Pause,Resume,Stats,Connect}Request`, of which some lack `exec_id`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProcessRequest {
    /// Which task.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Which process of it; empty for the first.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// `containerd.task.v3.StartResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StartResponse {
    /// The container's first process.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
}

/// `containerd.task.v3.DeleteResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeleteResponse {
    /// The container's first process.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// 128 + n for a signal.
    #[prost(uint32, tag = "2")]
    pub exit_status: u32,
    /// When.
    #[prost(message, optional, tag = "3")]
    pub exited_at: Option<Timestamp>,
}

/// `containerd.task.v3.StateResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StateResponse {
    /// Which task.
    #[prost(string, tag = "1")]
    pub id: String,
    /// As created.
    #[prost(string, tag = "2")]
    pub bundle: String,
    /// The container's first process.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
    /// What it does.
    #[prost(enumeration = "Status", tag = "4")]
    pub status: i32,
    /// As created.
    #[prost(string, tag = "5")]
    pub stdin: String,
    /// As created.
    #[prost(string, tag = "6")]
    pub stdout: String,
    /// As created.
    #[prost(string, tag = "7")]
    pub stderr: String,
    /// As created.
    #[prost(bool, tag = "8")]
    pub terminal: bool,
    /// Once stopped.
    #[prost(uint32, tag = "9")]
    pub exit_status: u32,
    /// Once stopped.
    #[prost(message, optional, tag = "10")]
    pub exited_at: Option<Timestamp>,
    /// As asked.
    #[prost(string, tag = "11")]
    pub exec_id: String,
}

/// `containerd.task.v3.KillRequest`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KillRequest {
    /// Which task.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Which process of it; empty for the first.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Its number.
    #[prost(uint32, tag = "3")]
    pub signal: u32,
    /// Every process of the container.
    #[prost(bool, tag = "4")]
    pub all: bool,
}

/// `containerd.task.v3.CloseIORequest`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CloseIoRequest {
    /// Which task.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Which process of it; empty for the first.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Always true.
    #[prost(bool, tag = "3")]
    pub stdin: bool,
}

/// `containerd.task.v3.ExecProcessRequest`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ExecProcessRequest {
    /// Which task.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The name of the new process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Whether stdio is a terminal.
    #[prost(bool, tag = "3")]
    pub terminal: bool,
    /// Path of a FIFO, or empty.
    #[prost(string, tag = "4")]
    pub stdin: String,
    /// Path of a FIFO, a URI, or empty.
    #[prost(string, tag = "5")]
    pub stdout: String,
    /// Path of a FIFO, a URI, or empty.
    #[prost(string, tag = "6")]
    pub stderr: String,
    /// `Process` of the OCI runtime spec, as JSON.
    #[prost(message, optional, tag = "7")]
    pub spec: Option<Any>,
}

/// `containerd.task.v3.ResizePtyRequest`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ResizePtyRequest {
    /// Which task.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Which process of it; empty for the first.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Columns.
    #[prost(uint32, tag = "3")]
    pub width: u32,
    /// Rows.
    #[prost(uint32, tag = "4")]
    pub height: u32,
}

/// `containerd.task.v3.PidsResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PidsResponse {
    /// All of them.
    #[prost(message, repeated, tag = "1")]
    pub processes: Vec<ProcessInfo>,
}

/// `containerd.task.v3.UpdateTaskRequest`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UpdateTaskRequest {
    /// Which task.
    #[prost(string, tag = "1")]
    pub id: String,
    /// `LinuxResources` of the OCI runtime spec, as JSON.
    #[prost(message, optional, tag = "2")]
    pub resources: Option<Any>,
}

/// `containerd.task.v3.WaitResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WaitResponse {
    /// 128 + n for a signal.
    #[prost(uint32, tag = "1")]
    pub exit_status: u32,
    /// When.
    #[prost(message, optional, tag = "2")]
    pub exited_at: Option<Timestamp>,
}

/// `containerd.task.v3.StatsResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StatsResponse {
    /// Metrics of the cgroup version in use.
    #[prost(message, optional, tag = "1")]
    pub stats: Option<Any>,
}

/// `containerd.task.v3.ConnectResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConnectResponse {
    /// The pod process.
    #[prost(uint32, tag = "1")]
    pub shim_pid: u32,
    /// The container's first process.
    #[prost(uint32, tag = "2")]
    pub task_pid: u32,
    /// Ours.
    #[prost(string, tag = "3")]
    pub version: String,
}

/// `containerd.task.v3.ShutdownRequest`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ShutdownRequest {
    /// Which task.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Do not wait for tasks.
    #[prost(bool, tag = "2")]
    pub now: bool,
}

/// `containerd.runc.v1.ProcessDetails` of `types/runc/options/oci.proto`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProcessDetails {
    /// The exec it is.
    #[prost(string, tag = "1")]
    pub exec_id: String,
}
