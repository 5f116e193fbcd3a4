//! CRI-O's configuration: a file and a folder of drop-ins, in which a runtime is one table.
//!
//! CRI-O hands containers to an OCI runtime. A shim that speaks containerd's protocol is not offered to it, although it
//! has a type for such (`docs/adr/0009`): what is written here is a handler of a crun that is on the node already and was
//! built with a Wasm engine. All of it is pure but [`sources`], [`judge`] and [`crun::check`], which read the host and run
//! its programs.

pub mod crun;
pub mod daemon;
pub mod judge;
pub mod plan;
pub mod sources;
