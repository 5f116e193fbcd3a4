//! Wasm that lies in an image's layers or artifacts, not in its root file system: found through containerd's API.
//!
//! ```text
//! containers.Get ── image name ──► images.Get ── descriptor ──► content.Read ── index, manifest ──► wasm layer
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `document` | indexes and manifests, read within bounds; pure |
//! | `select` | which manifest, which layer; pure |
//! | `grpc` | calls over HTTP/2 on a Unix socket |
//! | `containerd` | the three services that are asked |
//! | `session` | all of it together, for a program without threads |
//!
//! Used by `slipway-compile` before it compiles, and only for a container whose root file system has no such file. It
//! writes nothing, pulls nothing, and believes no byte whose digest it has not computed.

mod api;
mod containerd;
pub mod document;
mod error;
mod grpc;
pub mod select;
mod session;

pub use error::ImageError;
pub use select::Layer;
pub use session::Session;
