//! What the pod process (`containerd-shim-slipway-v1`) and a worker (`slipway-worker`) say to each other.
//!
//! ```text
//! pod process                      worker (one a container)
//!     | -- Plan + memory limit fd ----> |  enter namespaces, mount, pivot, drop ids and capabilities
//!     | <-------- NeedCode + wasm fd -- |  the file that process.args[0] names; without one, NeedImage
//!     | -- Code + .cwasm fd ----------> |  or NoCode: nothing to run, the sentence that says why
//!     | <-------------------- Ready --- |  linked and sealed: Task.Create answers
//!     | -- Go ------------------------> |  Task.Start; the worker's exit status is the guest's
//! ```
//!
//! A worker for `Task.Exec` gets `Join` instead of `Plan`, and `Go` as soon as it is ready: both belong to the `Start`
//! of that process.
//! A worker whose first message is `Probe` becomes no container: it looks whether the program is native, answers
//! `Probed` and ends.
//!
//! Instead of `NeedCode` or `Ready` a worker may send `SetupFailed`, which fails `Task.Create`.
//! The channel is a Unix stream socket (fd [`WORKER_FD`] in the worker); frames are a length and a
//! `postcard` body, at most [`MAX_FRAME`] bytes, with at most one descriptor attached.
//!
//! This crate does not know containerd, OCI or wasmtime.

mod channel;
mod message;
mod plan;
mod probe;

pub use channel::{Channel, ChannelError, FrameReader, MAX_FRAME};
pub use message::{ToPod, ToWorker};
pub use plan::{
    ANNOTATION_PREFIX, Capabilities, DeviceNode, IdMap, IdMapped, IdMaps, Instruction, Limits,
    MAX_ANNOTATION_VALUE, MAX_ANNOTATIONS, MAX_OPTIONS, Mount, Namespace, NamespaceKind, Plan,
    Process, RecursiveAttributes, Rlimit, Rootfs, UserNamespace,
};
pub use probe::Probe;

/// The descriptor of the control channel in a worker, fixed by the spawn.
pub const WORKER_FD: i32 = 3;

/// Where a worker writes the sentence that says why nothing ran, if the path is mounted: the default of
/// `terminationMessagePath` (Kubernetes API, `Container`).
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Exit status of a container whose wasm file does not exist, as a shell's.
pub const EXIT_NOT_FOUND: i32 = 127;

/// Exit status of a container whose file exists and cannot be run, as a shell's.
pub const EXIT_NOT_RUNNABLE: i32 = 126;

/// Exit status of a guest that trapped: 128 + SIGABRT. Never 137, which reads as out of memory.
pub const EXIT_TRAP: i32 = 134;
