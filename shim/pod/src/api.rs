//! containerd's messages, written by hand as `prost` structs: only what a shim reads and writes.
//!
//! Field numbers are those of the protobuf definitions in containerd's Go module `api` v1.12.0 (the path of each
//! file stands at its Rust module). Unknown fields are skipped, as protobuf asks.

pub mod bootstrap;
pub mod cri;
pub mod events;
pub mod metrics;
pub mod sandbox;
pub mod task;
pub mod types;
