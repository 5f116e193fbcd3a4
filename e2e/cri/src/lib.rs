//! Conformance over CRI: what a kubelet asks of containerd and its shim, asked without a kubelet.
//!
//! ```text
//! cri-conformance ── CRI, streaming ──► containerd under test ──► containerd-shim-slipway-v1 ──► guests
//!        └─ signals, /proc, cgroups, mounts, the state directories ─┘
//! ```
//!
//! The program runs on the machine it tests, so it can kill what it likes and see what is left. Each case makes pods of
//! its own and removes them; afterwards nothing of them may be left, whatever the case was about ([`leavings`]). The
//! cases are listed in [`cases`]; `docs/reference/shim.md` says what each row of the contract is shown by.

pub mod args;
pub mod cases;
pub mod cri;
pub mod dns;
pub mod grpc;
pub mod leavings;
pub mod log;
pub mod node;
pub mod pod;
pub mod registry;
pub mod report;
pub mod runtime;
pub mod stream;
pub mod wait;

pub use report::run;
