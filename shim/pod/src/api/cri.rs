//! `runtime/v1/api.proto` of the Kubernetes CRI: what of a pod's configuration concerns its sandbox.

use std::collections::HashMap;

/// `runtime.v1.PodSandboxConfig`
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxConfig {
    /// Empty for the node's.
    #[prost(string, tag = "2")]
    pub hostname: String,
    /// None for the node's.
    #[prost(message, optional, tag = "4")]
    pub dns_config: Option<DnsConfig>,
    /// Linux' part.
    #[prost(message, optional, tag = "8")]
    pub linux: Option<LinuxPodSandboxConfig>,
}

/// `runtime.v1.DNSConfig`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DnsConfig {
    /// `nameserver` lines.
    #[prost(string, repeated, tag = "1")]
    pub servers: Vec<String>,
    /// The `search` line.
    #[prost(string, repeated, tag = "2")]
    pub searches: Vec<String>,
    /// The `options` line.
    #[prost(string, repeated, tag = "3")]
    pub options: Vec<String>,
}

/// `runtime.v1.LinuxPodSandboxConfig`
#[derive(Clone, PartialEq, prost::Message)]
pub struct LinuxPodSandboxConfig {
    /// A slice or a directory.
    #[prost(string, tag = "1")]
    pub cgroup_parent: String,
    /// Namespaces, mostly.
    #[prost(message, optional, tag = "2")]
    pub security_context: Option<LinuxSandboxSecurityContext>,
    /// Settings of its namespaces.
    #[prost(map = "string, string", tag = "3")]
    pub sysctls: HashMap<String, String>,
}

/// `runtime.v1.LinuxSandboxSecurityContext`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LinuxSandboxSecurityContext {
    /// Which namespaces.
    #[prost(message, optional, tag = "1")]
    pub namespace_options: Option<NamespaceOption>,
}

/// `runtime.v1.NamespaceOption`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NamespaceOption {
    /// The pod's or the node's.
    #[prost(enumeration = "NamespaceMode", tag = "1")]
    pub network: i32,
    /// The pod's, each container's or the node's.
    #[prost(enumeration = "NamespaceMode", tag = "2")]
    pub pid: i32,
    /// The pod's or the node's.
    #[prost(enumeration = "NamespaceMode", tag = "3")]
    pub ipc: i32,
    /// The pod's or the node's.
    #[prost(message, optional, tag = "5")]
    pub userns_options: Option<UserNamespace>,
}

/// `runtime.v1.UserNamespace`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UserNamespace {
    /// The pod's or the node's.
    #[prost(enumeration = "NamespaceMode", tag = "1")]
    pub mode: i32,
}

/// `runtime.v1.NamespaceMode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum NamespaceMode {
    /// One for the pod.
    Pod = 0,
    /// One for each container.
    Container = 1,
    /// The node's.
    Node = 2,
    /// Another container's.
    Target = 3,
}
