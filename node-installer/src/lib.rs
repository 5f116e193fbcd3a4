//! The node transaction: puts a containerd shim on a node, or takes it away again, so that the node always has a
//! containerd that answers.
//!
//! ```text
//! detect ─► plan (pure) ─► validate with the host's own containerd ─► journal ─► write ─► restart ─► verify ─► commit
//!                                                                       ▲                               │
//!                               watchdog (a systemd unit on the host) ──┴──────── roll back ◄───────────┘
//! ```
//!
//! What it will not do: talk to the API server (it holds no token; it reports by exit code and a JSON message),
//! download anything while it can reach the host's files ([`fetch`] runs in a container of its own, without them), or
//! restart containerd without the bytes of a verified way back on the host's own disk.

pub mod args;
pub mod configuration;
pub mod containerd;
pub mod copy;
pub mod cri;
pub mod crio;
pub mod detect;
pub mod digest;
pub mod drift;
pub mod failure;
pub mod fetch;
pub mod host;
pub mod journal;
pub mod operation;
pub mod payload;
pub mod report;
pub mod spec;
pub mod systemd;
pub mod transaction;

pub use operation::run;
