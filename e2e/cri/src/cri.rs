//! The messages of CRI (`runtime.v1`, cri-api v0.36), with the fields that are used here, and of containerd's task
//! service. Fields that are left out are skipped on reading, as protobuf has it.

mod container;
mod sandbox;
mod tasks;

pub use container::*;
pub use sandbox::*;
pub use tasks::*;

/// A request, or an answer, that is one id in field 1: most of them.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Id {
    /// Of a sandbox, a container or a task.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// A message without fields, or one whose fields do not matter.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Empty {}

/// A number that may be absent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Number {
    /// The number.
    #[prost(int64, tag = "1")]
    pub value: i64,
}
