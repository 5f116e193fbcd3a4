//! From an OCI bundle's `config.json` to a [`Plan`](slipway_shim_wire::Plan) for a worker.
//!
//! ```text
//! config.json --load--> Spec --+-- accessors for the pod process (cgroup, annotations, PID namespace)
//!                              +-- plan() / sandbox_plan() --> Plan, sent to the worker
//! ```
//!
//! Everything is checked here, in the process that talks to containerd, so that `Task.Create` fails with one
//! sentence naming the field. What this cut does not do (hooks, SELinux labels, time namespaces, ...) is refused by name, never ignored.
//!
//! This crate makes no system call but reading that one file, and enters nothing.

mod bundle;
mod capabilities;
mod devices;
mod error;
mod exec;
mod mounts;
mod namespaces;
mod plan;
mod probe;
mod process;
mod refuse;
mod seccomp;
mod sysctl;
mod user;

pub use bundle::{ContainerType, MAX_SPEC_BYTES, Spec};
pub use error::SpecError;
pub use mounts::RootfsMount;
pub use namespaces::PidNamespace;
pub use slipway_shim_oci::LinuxResources;
