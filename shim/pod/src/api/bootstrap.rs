//! `runtime/bootstrap/v1/bootstrap.proto`: what containerd ≥ 2.3 writes to the standard input of `start`.

use super::types::Any;

/// `containerd.runtime.bootstrap.v1.BootstrapParams`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BootstrapParams {
    /// The same as the flag `-id`.
    #[prost(string, tag = "1")]
    pub instance_id: String,
    /// containerd's namespace.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// Negative from debug on.
    #[prost(int32, tag = "3")]
    pub log_level: i32,
    /// For example `v2.4.2`.
    #[prost(string, tag = "4")]
    pub containerd_version: String,
    /// Where events go.
    #[prost(string, tag = "5")]
    pub containerd_ttrpc_address: String,
    /// containerd's own API.
    #[prost(string, tag = "6")]
    pub containerd_grpc_address: String,
    /// containerd itself.
    #[prost(string, tag = "7")]
    pub containerd_binary: String,
    /// Runtime options among them.
    #[prost(message, repeated, tag = "8")]
    pub extensions: Vec<Extension>,
    /// Where sockets belong; containerd's default when absent.
    #[prost(string, optional, tag = "9")]
    pub socket_dir: Option<String>,
}

/// `containerd.runtime.bootstrap.v1.Extension`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Extension {
    /// Some message.
    #[prost(message, optional, tag = "1")]
    pub value: Option<Any>,
}
