//! The messages of the control channel.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Plan, Probe};

/// From the pod process to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// What to become. The first message, but for `Join` and `Probe`. It comes while the worker is still on its way into
    /// its cgroup.
    Plan(Box<Plan>),
    /// After `Plan`: the worker is in its cgroup. The file of the cgroup's memory limit is attached where there is one: a
    /// limit that was raised is read there.
    Placed,
    /// Another process of a container that stands: instead of `Plan`. Only `process`, `seccomp` and `limits` of it
    /// count. The directory `/proc/<pid>` of the container's first process is attached: it leads to its namespaces,
    /// and to nothing once that process has ended.
    Join(Box<Plan>),
    /// Look whether the container is native, and end.
    Probe(Box<Probe>),
    /// The compiled code; the `.cwasm` descriptor is attached.
    Code,
    /// There is no code to run. After `Go` the worker says so on the container's stderr and exits.
    NoCode {
        /// The exit status to end with.
        exit_code: i32,
        /// One sentence for the user, naming the file and the reason.
        message: String,
    },
    /// Run the guest.
    Go,
}

/// From a worker to the pod process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToPod {
    /// The worker stands in its container and needs the code of the attached wasm file.
    NeedCode {
        /// The path as the user gave it, for messages.
        path: PathBuf,
        /// Whether the file lies on the container's root file system, not on a volume: only then its
        /// inode identity is enough to skip hashing it, since nobody but containerd writes there.
        on_rootfs: bool,
    },
    /// The root file system has no such file, but the image may have it in a layer of its own. Answered as
    /// `NeedCode` is.
    NeedImage {
        /// The command as the user gave it, without `#function`; may be empty.
        named: String,
        /// What to answer as `NoCode` if the image has no wasm layer.
        otherwise: String,
        /// The exit status that goes with it.
        exit_code: i32,
    },
    /// Linked, or knows that it cannot be; waits for `Go`.
    Ready,
    /// The answer to `Probe`.
    Probed {
        /// Whether the program is the machine's own or a script; then the root file system is mounted where
        /// containerd sees it.
        native: bool,
    },
    /// The container could not be set up.
    SetupFailed {
        /// What was being done, to what, and the operating system's reason.
        message: String,
    },
}
