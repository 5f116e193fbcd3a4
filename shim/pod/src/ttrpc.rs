//! ttrpc, as containerd speaks it (its `PROTOCOL.md`, ttrpc v1.2): a header of ten bytes and a protobuf body,
//! one request and one response a stream. Streaming calls are not offered.

pub mod client;
pub mod frame;
pub mod message;
pub mod server;
