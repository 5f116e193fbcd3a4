//! `events/task.proto`, `types/event.proto` and `services/ttrpc/events/v1/events.proto`.

use super::types::{Any, Mount, Timestamp};

/// `containerd.services.events.ttrpc.v1.ForwardRequest`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ForwardRequest {
    /// The event.
    #[prost(message, optional, tag = "1")]
    pub envelope: Option<Envelope>,
}

/// `containerd.types.Envelope`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Envelope {
    /// When it happened.
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Timestamp>,
    /// containerd's namespace.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// For example `/tasks/start`.
    #[prost(string, tag = "3")]
    pub topic: String,
    /// One of the messages below.
    #[prost(message, optional, tag = "4")]
    pub event: Option<Any>,
}

/// `containerd.events.TaskCreate`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TaskCreate {
    /// Which task.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Its bundle.
    #[prost(string, tag = "2")]
    pub bundle: String,
    /// As in the request.
    #[prost(message, repeated, tag = "3")]
    pub rootfs: Vec<Mount>,
    /// As in the request.
    #[prost(message, optional, tag = "4")]
    pub io: Option<TaskIo>,
    /// Always empty.
    #[prost(string, tag = "5")]
    pub checkpoint: String,
    /// The container's first process.
    #[prost(uint32, tag = "6")]
    pub pid: u32,
}

/// `containerd.events.TaskIO`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TaskIo {
    /// Path or empty.
    #[prost(string, tag = "1")]
    pub stdin: String,
    /// Path or empty.
    #[prost(string, tag = "2")]
    pub stdout: String,
    /// Path or empty.
    #[prost(string, tag = "3")]
    pub stderr: String,
    /// Whether it is a terminal.
    #[prost(bool, tag = "4")]
    pub terminal: bool,
}

/// `containerd.events.TaskStart`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TaskStart {
    /// Which task.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Its first process.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
}

/// `containerd.events.TaskExit`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TaskExit {
    /// Which task.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Which process of it: the task's id for the first.
    #[prost(string, tag = "2")]
    pub id: String,
    /// The process.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
    /// 128 + n for a signal.
    #[prost(uint32, tag = "4")]
    pub exit_status: u32,
    /// When.
    #[prost(message, optional, tag = "5")]
    pub exited_at: Option<Timestamp>,
}

/// `containerd.events.TaskDelete`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TaskDelete {
    /// Which task.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Its first process.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
    /// 128 + n for a signal.
    #[prost(uint32, tag = "3")]
    pub exit_status: u32,
    /// When.
    #[prost(message, optional, tag = "4")]
    pub exited_at: Option<Timestamp>,
    /// Empty for the task itself.
    #[prost(string, tag = "5")]
    pub id: String,
}

/// `containerd.events.TaskOOM`, `TaskPaused` and `TaskResumed`, which look alike.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TaskNotice {
    /// Which task.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

/// `containerd.events.TaskExecAdded`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TaskExecAdded {
    /// Which task.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Its new process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// `containerd.events.TaskExecStarted`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TaskExecStarted {
    /// Which task.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Which process of it.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Its number.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
}
