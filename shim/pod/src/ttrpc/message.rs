//! The bodies of requests and responses, and status codes.

use crate::api::types::Any;

/// The body of a request (`request.proto` of ttrpc).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Request {
    /// For example `containerd.task.v3.Task`.
    #[prost(string, tag = "1")]
    pub service: String,
    /// For example `Create`.
    #[prost(string, tag = "2")]
    pub method: String,
    /// The method's own message.
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
    /// How long the client waits; 0 for ever.
    #[prost(int64, tag = "4")]
    pub timeout_nano: i64,
    /// Like HTTP headers.
    #[prost(message, repeated, tag = "5")]
    pub metadata: Vec<KeyValue>,
}

/// One entry of a request's metadata.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KeyValue {
    /// Name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// The body of a response.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Response {
    /// Absent or code 0 for success.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    /// The method's own message.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Status {
    /// One of [`Code`].
    #[prost(enumeration = "Code", tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Unused.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// Those of gRPC's status codes that a shim answers; containerd's `errdefs` tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Code {
    /// Success.
    Ok = 0,
    /// Anything else.
    Unknown = 2,
    /// The request makes no sense.
    InvalidArgument = 3,
    /// No such task, or it has ended.
    NotFound = 5,
    /// The id is taken.
    AlreadyExists = 6,
    /// Too many of them.
    ResourceExhausted = 8,
    /// Not in this state.
    FailedPrecondition = 9,
    /// Not offered.
    Unimplemented = 12,
    /// Our fault.
    Internal = 13,
}

impl Status {
    /// A failure for the client.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            details: Vec::new(),
        }
    }
}
