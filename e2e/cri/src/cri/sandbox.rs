//! Pods.

use std::collections::HashMap;

use super::Number;

/// Whose a sandbox is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PodSandboxMetadata {
    /// The pod's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its uid.
    #[prost(string, tag = "2")]
    pub uid: String,
    /// Its namespace.
    #[prost(string, tag = "3")]
    pub namespace: String,
    /// How often it was made before.
    #[prost(uint32, tag = "4")]
    pub attempt: u32,
}

/// What a pod shall be.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PodSandboxConfig {
    /// Whose it is.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<PodSandboxMetadata>,
    /// The host's name inside.
    #[prost(string, tag = "2")]
    pub hostname: String,
    /// Where the logs of its containers go.
    #[prost(string, tag = "3")]
    pub log_directory: String,
    /// Labels.
    #[prost(map = "string, string", tag = "6")]
    pub labels: HashMap<String, String>,
    /// Annotations.
    #[prost(map = "string, string", tag = "7")]
    pub annotations: HashMap<String, String>,
    /// What only Linux has.
    #[prost(message, optional, tag = "8")]
    pub linux: Option<LinuxPodSandboxConfig>,
}

/// A pod on Linux.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LinuxPodSandboxConfig {
    /// The cgroup its containers' are in; one that ends in `.slice` is systemd's.
    #[prost(string, tag = "1")]
    pub cgroup_parent: String,
    /// Namespaces and ids.
    #[prost(message, optional, tag = "2")]
    pub security_context: Option<LinuxSandboxSecurityContext>,
    /// Kernel settings of its namespaces.
    #[prost(map = "string, string", tag = "3")]
    pub sysctls: HashMap<String, String>,
}

/// Namespaces and ids of a pod.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LinuxSandboxSecurityContext {
    /// Which namespaces are the pod's.
    #[prost(message, optional, tag = "1")]
    pub namespace_options: Option<NamespaceOption>,
    /// The user of its first process.
    #[prost(message, optional, tag = "3")]
    pub run_as_user: Option<Number>,
}

/// Whose namespaces they are.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NamespaceOption {
    /// Of the network.
    #[prost(enumeration = "NamespaceMode", tag = "1")]
    pub network: i32,
    /// Of processes.
    #[prost(enumeration = "NamespaceMode", tag = "2")]
    pub pid: i32,
    /// Of System V IPC and POSIX queues.
    #[prost(enumeration = "NamespaceMode", tag = "3")]
    pub ipc: i32,
    /// Of users: `hostUsers`, since containerd 1.7.
    #[prost(message, optional, tag = "5")]
    pub userns_options: Option<UserNamespace>,
}

/// Whose users a pod has.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UserNamespace {
    /// The pod's, or the node's.
    #[prost(enumeration = "NamespaceMode", tag = "1")]
    pub mode: i32,
    /// Who its users are on the node; containerd takes one range.
    #[prost(message, repeated, tag = "2")]
    pub uids: Vec<IdMapping>,
    /// The same of its groups.
    #[prost(message, repeated, tag = "3")]
    pub gids: Vec<IdMapping>,
}

/// A range of ids.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct IdMapping {
    /// The first on the node.
    #[prost(uint32, tag = "1")]
    pub host_id: u32,
    /// The first in the pod.
    #[prost(uint32, tag = "2")]
    pub container_id: u32,
    /// How many there are.
    #[prost(uint32, tag = "3")]
    pub length: u32,
}

/// Whose a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum NamespaceMode {
    /// All containers of the pod share it.
    Pod = 0,
    /// Each container has its own.
    Container = 1,
    /// The node's.
    Node = 2,
}

/// `RunPodSandbox`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RunPodSandboxRequest {
    /// What it shall be.
    #[prost(message, optional, tag = "1")]
    pub config: Option<PodSandboxConfig>,
    /// The handler of its RuntimeClass.
    #[prost(string, tag = "2")]
    pub runtime_handler: String,
}

/// The answer to `PodSandboxStatus`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PodSandboxStatusResponse {
    /// How it is.
    #[prost(message, optional, tag = "1")]
    pub status: Option<PodSandboxStatus>,
    /// With `verbose`: `info`, as JSON.
    #[prost(map = "string, string", tag = "2")]
    pub info: HashMap<String, String>,
}

/// How a pod is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PodSandboxStatus {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Whether it is ready.
    #[prost(enumeration = "SandboxState", tag = "3")]
    pub state: i32,
    /// Its address.
    #[prost(message, optional, tag = "5")]
    pub network: Option<PodSandboxNetworkStatus>,
}

/// A pod's addresses.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PodSandboxNetworkStatus {
    /// The first.
    #[prost(string, tag = "1")]
    pub ip: String,
}

/// Whether a pod is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SandboxState {
    /// Containers can be made in it.
    Ready = 0,
    /// Its first process has ended.
    NotReady = 1,
}

/// `PodSandboxStatus` and `ContainerStatus`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StatusRequest {
    /// Of which.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Whether `info` is wanted.
    #[prost(bool, tag = "2")]
    pub verbose: bool,
}

/// `Status` of the runtime.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RuntimeStatusRequest {
    /// Whether `info` is wanted.
    #[prost(bool, tag = "1")]
    pub verbose: bool,
}

/// The answer to it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RuntimeStatusResponse {
    /// `RuntimeReady` and `NetworkReady`.
    #[prost(message, optional, tag = "1")]
    pub status: Option<RuntimeStatus>,
    /// With `verbose`: `config`, as JSON.
    #[prost(map = "string, string", tag = "2")]
    pub info: HashMap<String, String>,
    /// What each handler can do, since containerd 2.0.
    #[prost(message, repeated, tag = "3")]
    pub runtime_handlers: Vec<RuntimeHandler>,
}

/// What a handler can do.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RuntimeHandler {
    /// Its name; the default's entry has none.
    #[prost(string, tag = "1")]
    pub name: String,
    /// By what its `-info` says.
    #[prost(message, optional, tag = "2")]
    pub features: Option<RuntimeHandlerFeatures>,
}

/// What a kubelet asks of no handler that does not have it.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct RuntimeHandlerFeatures {
    /// `recursiveReadOnly` of a volume.
    #[prost(bool, tag = "1")]
    pub recursive_read_only_mounts: bool,
    /// `hostUsers: false`
    #[prost(bool, tag = "2")]
    pub user_namespaces: bool,
}

/// How the runtime is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RuntimeStatus {
    /// Its conditions.
    #[prost(message, repeated, tag = "1")]
    pub conditions: Vec<RuntimeCondition>,
}

/// One thing that is so or not.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RuntimeCondition {
    /// What.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Whether it is so.
    #[prost(bool, tag = "2")]
    pub status: bool,
    /// Why not.
    #[prost(string, tag = "4")]
    pub message: String,
}

/// The answer to `Version`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct VersionResponse {
    /// `containerd`.
    #[prost(string, tag = "2")]
    pub runtime_name: String,
    /// Its version.
    #[prost(string, tag = "3")]
    pub runtime_version: String,
}

/// The answer to `ListPodSandbox`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ListPodSandboxResponse {
    /// All pods.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<PodSandbox>,
}

/// One pod of a list.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PodSandbox {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Whose it is.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodSandboxMetadata>,
}
