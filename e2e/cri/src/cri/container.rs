//! Containers.

use std::collections::HashMap;

use super::{IdMapping, NamespaceOption, Number, PodSandboxConfig};

/// A container's name.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ContainerMetadata {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// How often it was made before.
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

/// An image.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ImageSpec {
    /// Its name.
    #[prost(string, tag = "1")]
    pub image: String,
}

/// `PullImage`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PullImageRequest {
    /// Which one.
    #[prost(message, optional, tag = "1")]
    pub image: Option<ImageSpec>,
}

/// The answer to it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PullImageResponse {
    /// Its id.
    #[prost(string, tag = "1")]
    pub image_ref: String,
}

/// `RemoveImage`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RemoveImageRequest {
    /// Which one.
    #[prost(message, optional, tag = "1")]
    pub image: Option<ImageSpec>,
}

/// An environment variable.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KeyValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A volume.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Mount {
    /// Where it is inside.
    #[prost(string, tag = "1")]
    pub container_path: String,
    /// Where it is outside.
    #[prost(string, tag = "2")]
    pub host_path: String,
    /// Whether it may not be written to.
    #[prost(bool, tag = "3")]
    pub readonly: bool,
    /// Who the owners of its files are in the pod, since containerd 2.0.
    #[prost(message, repeated, tag = "6")]
    pub uid_mappings: Vec<IdMapping>,
    /// The same of their groups.
    #[prost(message, repeated, tag = "7")]
    pub gid_mappings: Vec<IdMapping>,
}

/// What a container shall be.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ContainerConfig {
    /// Its name.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ContainerMetadata>,
    /// What it is made from.
    #[prost(message, optional, tag = "2")]
    pub image: Option<ImageSpec>,
    /// The program.
    #[prost(string, repeated, tag = "3")]
    pub command: Vec<String>,
    /// Its arguments.
    #[prost(string, repeated, tag = "4")]
    pub args: Vec<String>,
    /// Its directory.
    #[prost(string, tag = "5")]
    pub working_dir: String,
    /// Its environment.
    #[prost(message, repeated, tag = "6")]
    pub envs: Vec<KeyValue>,
    /// Its volumes.
    #[prost(message, repeated, tag = "7")]
    pub mounts: Vec<Mount>,
    /// Annotations.
    #[prost(map = "string, string", tag = "10")]
    pub annotations: HashMap<String, String>,
    /// Where its log is, below the pod's directory.
    #[prost(string, tag = "11")]
    pub log_path: String,
    /// Whether it has a standard input.
    #[prost(bool, tag = "12")]
    pub stdin: bool,
    /// Whether that is closed after the first who attached.
    #[prost(bool, tag = "13")]
    pub stdin_once: bool,
    /// Whether it has a terminal.
    #[prost(bool, tag = "14")]
    pub tty: bool,
    /// What only Linux has.
    #[prost(message, optional, tag = "15")]
    pub linux: Option<LinuxContainerConfig>,
}

/// A container on Linux.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LinuxContainerConfig {
    /// Its limits.
    #[prost(message, optional, tag = "1")]
    pub resources: Option<LinuxContainerResources>,
    /// What it may do.
    #[prost(message, optional, tag = "2")]
    pub security_context: Option<LinuxContainerSecurityContext>,
}

/// A container's limits.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LinuxContainerResources {
    /// Microseconds.
    #[prost(int64, tag = "1")]
    pub cpu_period: i64,
    /// Microseconds of each period.
    #[prost(int64, tag = "2")]
    pub cpu_quota: i64,
    /// Its share beside others.
    #[prost(int64, tag = "3")]
    pub cpu_shares: i64,
    /// Bytes.
    #[prost(int64, tag = "4")]
    pub memory_limit_in_bytes: i64,
    /// −1000 to 1000.
    #[prost(int64, tag = "5")]
    pub oom_score_adj: i64,
}

/// What a container may do.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LinuxContainerSecurityContext {
    /// Whose namespaces it is in.
    #[prost(message, optional, tag = "3")]
    pub namespace_options: Option<NamespaceOption>,
    /// Its user.
    #[prost(message, optional, tag = "5")]
    pub run_as_user: Option<Number>,
    /// Whether its root may not be written to.
    #[prost(bool, tag = "7")]
    pub readonly_rootfs: bool,
    /// More groups.
    #[prost(int64, repeated, tag = "8")]
    pub supplemental_groups: Vec<i64>,
    /// `no_new_privs`.
    #[prost(bool, tag = "11")]
    pub no_new_privs: bool,
    /// Its group.
    #[prost(message, optional, tag = "12")]
    pub run_as_group: Option<Number>,
    /// Its seccomp profile.
    #[prost(message, optional, tag = "15")]
    pub seccomp: Option<SecurityProfile>,
    /// Its AppArmor profile.
    #[prost(message, optional, tag = "16")]
    pub apparmor: Option<SecurityProfile>,
}

/// A profile; 0 is the runtime's default, 1 none, 2 one of the node's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SecurityProfile {
    /// Which.
    #[prost(int32, tag = "1")]
    pub profile_type: i32,
    /// The name of the node's.
    #[prost(string, tag = "2")]
    pub localhost_ref: String,
}

/// `CreateContainer`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateContainerRequest {
    /// Where.
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
    /// What.
    #[prost(message, optional, tag = "2")]
    pub config: Option<ContainerConfig>,
    /// What the pod was made from.
    #[prost(message, optional, tag = "3")]
    pub sandbox_config: Option<PodSandboxConfig>,
}

/// `StopContainer`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StopContainerRequest {
    /// Which.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Seconds until SIGKILL.
    #[prost(int64, tag = "2")]
    pub timeout: i64,
}

/// The answer to `ContainerStatus`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ContainerStatusResponse {
    /// How it is.
    #[prost(message, optional, tag = "1")]
    pub status: Option<ContainerStatus>,
    /// With `verbose`: `info`, as JSON, with `pid`.
    #[prost(map = "string, string", tag = "2")]
    pub info: HashMap<String, String>,
}

/// How a container is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ContainerStatus {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Where it is in its life.
    #[prost(enumeration = "ContainerState", tag = "3")]
    pub state: i32,
    /// Nanoseconds since the epoch.
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    /// Nanoseconds since the epoch.
    #[prost(int64, tag = "5")]
    pub started_at: i64,
    /// Nanoseconds since the epoch.
    #[prost(int64, tag = "6")]
    pub finished_at: i64,
    /// What it said at its end.
    #[prost(int32, tag = "7")]
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, …
    #[prost(string, tag = "10")]
    pub reason: String,
    /// More about it.
    #[prost(string, tag = "11")]
    pub message: String,
    /// Its limits, since containerd 1.7.
    #[prost(message, optional, tag = "16")]
    pub resources: Option<ContainerResources>,
}

/// A container's limits, by operating system.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ContainerResources {
    /// On Linux.
    #[prost(message, optional, tag = "1")]
    pub linux: Option<LinuxContainerResources>,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ContainerState {
    /// Made, not started.
    Created = 0,
    /// Runs.
    Running = 1,
    /// Has ended.
    Exited = 2,
    /// Nobody knows.
    Unknown = 3,
}

/// `UpdateContainerResources`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UpdateContainerResourcesRequest {
    /// Of which.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The new limits.
    #[prost(message, optional, tag = "2")]
    pub linux: Option<LinuxContainerResources>,
}

/// The answer to `ListContainers`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ListContainersResponse {
    /// All containers.
    #[prost(message, repeated, tag = "1")]
    pub containers: Vec<Container>,
}

/// One container of a list.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Container {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its pod's.
    #[prost(string, tag = "2")]
    pub pod_sandbox_id: String,
    /// Where it is in its life.
    #[prost(enumeration = "ContainerState", tag = "6")]
    pub state: i32,
}

/// The answer to `ContainerStats`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ContainerStatsResponse {
    /// The figures.
    #[prost(message, optional, tag = "1")]
    pub stats: Option<ContainerStats>,
}

/// A container's figures.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ContainerStats {
    /// Of processors.
    #[prost(message, optional, tag = "2")]
    pub cpu: Option<CpuUsage>,
    /// Of memory.
    #[prost(message, optional, tag = "3")]
    pub memory: Option<MemoryUsage>,
}

/// Processor time.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CpuUsage {
    /// Nanoseconds since the start.
    #[prost(message, optional, tag = "2")]
    pub usage_core_nano_seconds: Option<Amount>,
}

/// Memory.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MemoryUsage {
    /// Bytes that cannot be given back at once.
    #[prost(message, optional, tag = "2")]
    pub working_set_bytes: Option<Amount>,
}

/// A number that may be absent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Amount {
    /// The number.
    #[prost(uint64, tag = "1")]
    pub value: u64,
}

/// `ExecSync`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ExecSyncRequest {
    /// Where.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// What.
    #[prost(string, repeated, tag = "2")]
    pub cmd: Vec<String>,
    /// Seconds; 0 is for ever.
    #[prost(int64, tag = "3")]
    pub timeout: i64,
}

/// The answer to `ExecSync`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ExecSyncResponse {
    /// Standard output.
    #[prost(bytes = "vec", tag = "1")]
    pub stdout: Vec<u8>,
    /// Standard error.
    #[prost(bytes = "vec", tag = "2")]
    pub stderr: Vec<u8>,
    /// Exit code.
    #[prost(int32, tag = "3")]
    pub exit_code: i32,
}

/// `Exec`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ExecRequest {
    /// Where.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// What.
    #[prost(string, repeated, tag = "2")]
    pub cmd: Vec<String>,
    /// With a terminal.
    #[prost(bool, tag = "3")]
    pub tty: bool,
    /// With standard input.
    #[prost(bool, tag = "4")]
    pub stdin: bool,
    /// With standard output.
    #[prost(bool, tag = "5")]
    pub stdout: bool,
    /// With standard error.
    #[prost(bool, tag = "6")]
    pub stderr: bool,
}

/// `Attach`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AttachRequest {
    /// To which.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Its standard input.
    #[prost(bool, tag = "2")]
    pub stdin: bool,
    /// With a terminal.
    #[prost(bool, tag = "3")]
    pub tty: bool,
    /// Its standard output.
    #[prost(bool, tag = "4")]
    pub stdout: bool,
    /// Its standard error.
    #[prost(bool, tag = "5")]
    pub stderr: bool,
}

/// `PortForward`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PortForwardRequest {
    /// To which pod.
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
    /// To which ports.
    #[prost(int32, repeated, tag = "2")]
    pub port: Vec<i32>,
}

/// What `GetContainerEvents` streams.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ContainerEventResponse {
    /// Of which container, or sandbox.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// What happened.
    #[prost(enumeration = "ContainerEventType", tag = "2")]
    pub container_event_type: i32,
}

/// What happens to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ContainerEventType {
    /// It was made.
    Created = 0,
    /// It was started.
    Started = 1,
    /// It has ended.
    Stopped = 2,
    /// It is gone.
    Deleted = 3,
}
