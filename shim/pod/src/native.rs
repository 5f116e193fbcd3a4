//! Native containers in a Wasm pod: sidecars, init containers, debug containers. The node's `runc` makes them, called
//! as containerd's own shim calls it (`cmd/containerd-shim-runc-v2/process` and go-runc, containerd 2.4), so that
//! specs, state directories and error texts are what users of the node know.
//!
//! ```text
//! probe (a worker) ── native ──► runc create ──► runc start ──► … ──► runc delete ──► unmount
//!                                    └── pid file: from then on a child of ours, as any other
//! ```
//!
//! runc is needed for `Create`, `Start`, `Delete` and the start of an exec. Each is a child process with a deadline;
//! one at a time runs for a container, the others wait in order. Signals, freezing, limits and figures go to the
//! process and its cgroup directly, as for a worker.

pub mod call;
pub mod command;
pub mod console;
pub mod container;
pub mod errors;
pub mod exec;
pub mod program;
pub mod unmount;
