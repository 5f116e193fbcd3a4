//! containerd's own task service (`containerd.services.tasks.v1`), for what CRI does not ask for.

/// `Metrics`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MetricsRequest {
    /// `id==…`.
    #[prost(string, repeated, tag = "1")]
    pub filters: Vec<String>,
}

/// The answer to it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MetricsResponse {
    /// One for each task.
    #[prost(message, repeated, tag = "1")]
    pub metrics: Vec<Metric>,
}

/// A task's figures.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Metric {
    /// The task.
    #[prost(string, tag = "2")]
    pub id: String,
    /// The figures, of a type that depends on the node's cgroups.
    #[prost(message, optional, tag = "3")]
    pub data: Option<Any>,
}

/// A message with its type.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Any {
    /// The type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `ListPids`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ListPidsResponse {
    /// The processes of a task.
    #[prost(message, repeated, tag = "1")]
    pub processes: Vec<ProcessInfo>,
}

/// A process of a task.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProcessInfo {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
}
