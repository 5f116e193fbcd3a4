//! `runtime/sandbox/v1/sandbox.proto`, with `types/{platform,metrics}.proto`.

use std::collections::HashMap;

use super::types::{Any, Mount, Timestamp};

/// `containerd.runtime.sandbox.v1.CreateSandboxRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateSandboxRequest {
    /// Which sandbox.
    #[prost(string, tag = "1")]
    pub sandbox_id: String,
    /// Its bundle, which has no `config.json`.
    #[prost(string, tag = "2")]
    pub bundle_path: String,
    /// Unused.
    #[prost(message, repeated, tag = "3")]
    pub rootfs: Vec<Mount>,
    /// CRI's `PodSandboxConfig`.
    #[prost(message, optional, tag = "4")]
    pub options: Option<Any>,
    /// Its network namespace; empty for the node's.
    #[prost(string, tag = "5")]
    pub netns_path: String,
    /// Unused.
    #[prost(map = "string, string", tag = "6")]
    pub annotations: HashMap<String, String>,
}

/// `containerd.runtime.sandbox.v1.{Start,Wait,Shutdown}SandboxRequest`, `SandboxStatusRequest`, `SandboxMetricsRequest`,
/// `PingRequest`, `PlatformRequest` and, but for its time limit, `StopSandboxRequest`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SandboxRequest {
    /// Which sandbox.
    #[prost(string, tag = "1")]
    pub sandbox_id: String,
}

/// `containerd.runtime.sandbox.v1.StartSandboxResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StartSandboxResponse {
    /// A process in its namespaces.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// When.
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    /// OCI specification, as JSON.
    #[prost(message, optional, tag = "3")]
    pub spec: Option<Any>,
}

/// `containerd.runtime.sandbox.v1.PlatformResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PlatformResponse {
    /// For which its containers are made.
    #[prost(message, optional, tag = "1")]
    pub platform: Option<Platform>,
}

/// `containerd.types.Platform`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Platform {
    /// `linux`.
    #[prost(string, tag = "1")]
    pub os: String,
    /// As Go calls it.
    #[prost(string, tag = "2")]
    pub architecture: String,
}

/// `containerd.runtime.sandbox.v1.SandboxStatusResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub struct SandboxStatusResponse {
    /// Which sandbox.
    #[prost(string, tag = "1")]
    pub sandbox_id: String,
    /// A process in its namespaces.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
    /// `SANDBOX_READY` or `SANDBOX_NOTREADY`, as CRI calls them.
    #[prost(string, tag = "3")]
    pub state: String,
    /// What CRI shows with `verbose`.
    #[prost(map = "string, string", tag = "4")]
    pub info: HashMap<String, String>,
    /// When.
    #[prost(message, optional, tag = "5")]
    pub created_at: Option<Timestamp>,
    /// Once stopped.
    #[prost(message, optional, tag = "6")]
    pub exited_at: Option<Timestamp>,
}
