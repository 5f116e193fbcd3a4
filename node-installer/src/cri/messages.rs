//! The messages of CRI v1 that are used, with the fields that are read (numbers: k8s.io/cri-api,
//! pkg/apis/runtime/v1/api.proto). Unknown fields are skipped by protobuf's own rules.

use std::collections::HashMap;

/// `StatusRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StatusRequest {
    /// Whether `info` is filled.
    #[prost(bool, tag = "1")]
    pub verbose: bool,
}

/// `StatusResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusResponse {
    /// The conditions.
    #[prost(message, optional, tag = "1")]
    pub status: Option<RuntimeStatus>,
    /// Free-form details.
    #[prost(map = "string, string", tag = "2")]
    pub info: HashMap<String, String>,
}

/// `RuntimeStatus`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RuntimeStatus {
    /// `RuntimeReady`, `NetworkReady` and others.
    #[prost(message, repeated, tag = "1")]
    pub conditions: Vec<RuntimeCondition>,
}

/// `RuntimeCondition`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RuntimeCondition {
    /// Its name.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// Whether it holds.
    #[prost(bool, tag = "2")]
    pub status: bool,
    /// CamelCase.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// For people.
    #[prost(string, tag = "4")]
    pub message: String,
}

/// `RuntimeConfigRequest`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct RuntimeConfigRequest {}

/// `RuntimeConfigResponse`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct RuntimeConfigResponse {
    /// Linux only.
    #[prost(message, optional, tag = "1")]
    pub linux: Option<LinuxRuntimeConfiguration>,
}

/// `LinuxRuntimeConfiguration`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct LinuxRuntimeConfiguration {
    /// 0 is systemd, 1 is cgroupfs.
    #[prost(int32, tag = "1")]
    pub cgroup_driver: i32,
}

/// `ListPodSandboxRequest`, without a filter.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ListPodSandboxRequest {}

/// `ListPodSandboxResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ListPodSandboxResponse {
    /// Sandboxes in every state.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<PodSandbox>,
}

/// `PodSandbox`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PodSandbox {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The pod it belongs to.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodSandboxMetadata>,
    /// 0 is ready, 1 is not.
    #[prost(int32, tag = "3")]
    pub state: i32,
    /// The handler it was made with.
    #[prost(string, tag = "7")]
    pub runtime_handler: String,
}

/// `PodSandboxMetadata`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PodSandboxMetadata {
    /// The pod's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The pod's UID.
    #[prost(string, tag = "2")]
    pub uid: String,
    /// The pod's namespace.
    #[prost(string, tag = "3")]
    pub namespace: String,
}

/// `PodSandboxStatusRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PodSandboxStatusRequest {
    /// Which.
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
    /// Whether `info` is filled.
    #[prost(bool, tag = "2")]
    pub verbose: bool,
}

/// `PodSandboxStatusResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PodSandboxStatusResponse {
    /// Free-form details.
    #[prost(map = "string, string", tag = "2")]
    pub info: HashMap<String, String>,
}
