//! A worker becoming a container: applies a [`Plan`](slipway_shim_wire::Plan) to the calling process, which
//! must have one thread.
//!
//! ```text
//! enter            namespaces, mounts, pivot_root, names, sysctls      needs root
//! join             instead of enter: a container that stands           needs root
//! drop_privileges  limits, ids, capabilities, working directory        needs root, leaves none
//! open_module      the wasm file that args[0] names
//! seal             Landlock and a seccomp filter of our own for guests, and the spec's filter
//! ```
//!
//! [`probe`] looks whether a container is one at all, or a native one for runc.
//!
//! Code that needs a file of its own process under `/proc` (wasmtime opens `/proc/self/pagemap` with a pooling
//! engine) has to open it between `enter` and `drop_privileges`: afterwards the process is not dumpable, so
//! those files are root's.
//!
//! Everything is made in the worker's own mount namespace and goes with it. Paths inside the container are
//! resolved below its root one component at a time or by `openat2`, never by string: an image cannot lead a
//! mount outside by a link. Linux 5.6 or newer.
//!
//! Two things differ from runc on purpose, both because the guest shares its process with the engine:
//! - `/proc` is mounted read-only: `/proc/self/mem` would let a guest rewrite the engine that confines it;
//! - of the spec's capabilities only those are kept that a WASI call can make use of ([`USABLE_CAPABILITIES`]).
//!
//! This crate spawns nothing, knows no containerd and no wasmtime.

mod apparmor;
mod cgroup;
mod devices;
mod enter;
mod error;
mod join;
mod landlock;
mod mask;
mod module;
mod mount_api;
mod mounts;
mod namespaces;
mod pivot;
mod privileges;
mod probe;
mod root;
mod rootfs;
mod sandbox;
mod seal;
mod user;

pub use enter::enter;
pub use error::SetupError;
pub use join::join;
pub use module::{ModuleError, OpenedModule, command, open_module, preopens};
pub use privileges::{USABLE_CAPABILITIES, drop_privileges};
pub use probe::probe;
pub use sandbox::{enter_sandbox, hold};
pub use seal::{Profile, seal};
