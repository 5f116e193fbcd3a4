//! `google/protobuf/{any,timestamp}.proto`, `types/mount.proto`, `types/task/task.proto`,
//! `types/introspection.proto`, `types/runtimeoptions/v1/api.proto`.

use std::time::{SystemTime, UNIX_EPOCH};

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Any {
    /// What `value` is.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message itself.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `runtimeoptions.v1.Options`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RuntimeOptions {
    /// What the file contains.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The file that holds the options, if it is not the next field.
    #[prost(string, tag = "2")]
    pub config_path: String,
    /// The table `options` of the handler in containerd's configuration, as TOML.
    #[prost(bytes = "vec", tag = "3")]
    pub config_body: Vec<u8>,
}

/// `google.protobuf.Empty`
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Empty {}

/// `google.protobuf.Timestamp`
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Timestamp {
    /// Since the epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Below a second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Timestamp {
    /// The present time.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
        }
    }
}

/// `containerd.types.Mount`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Mount {
    /// File system type, `bind` or `overlay` mostly.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// Device or directory.
    #[prost(string, tag = "2")]
    pub source: String,
    /// Below the rootfs; usually empty.
    #[prost(string, tag = "3")]
    pub target: String,
    /// As in fstab.
    #[prost(string, repeated, tag = "4")]
    pub options: Vec<String>,
}

/// `containerd.v1.types.Status`
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Status {
    /// Never used by us.
    Unknown = 0,
    /// Set up or being set up; the guest does not run yet.
    Created = 1,
    /// The guest runs.
    Running = 2,
    /// The process has ended.
    Stopped = 3,
    /// Frozen.
    Paused = 4,
}

/// `containerd.v1.types.ProcessInfo`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProcessInfo {
    /// As seen from the pod process's PID namespace.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// Details; unused.
    #[prost(message, optional, tag = "2")]
    pub info: Option<Any>,
}

/// `containerd.types.RuntimeVersion`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RuntimeVersion {
    /// Our version.
    #[prost(string, tag = "1")]
    pub version: String,
    /// Source revision.
    #[prost(string, tag = "2")]
    pub revision: String,
}

/// `containerd.types.RuntimeInfo`, what `-info` prints.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RuntimeInfo {
    /// The runtime's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(message, optional, tag = "2")]
    pub version: Option<RuntimeVersion>,
    /// `features.md` of the OCI runtime specification, as JSON.
    #[prost(message, optional, tag = "4")]
    pub features: Option<Any>,
}
