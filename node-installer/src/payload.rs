//! The binaries: what is to be installed, where it goes on the node, and which of the old may go.

pub mod collect;
pub mod place;
pub mod source;

/// The shim that `runtime_type` names.
pub const SHIM: &str = "containerd-shim-slipway-v1";

/// This program's own copy on the node, for the watchdog.
pub const INSTALLER: &str = "slipway-node-installer";
