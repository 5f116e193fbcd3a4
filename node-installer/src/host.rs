//! The node as files and processes, seen through the mount of its root.
//!
//! Two names of one file are kept apart: a *host path* is what the node calls it (`/etc/containerd/config.toml`),
//! a *local path* is what this process opens (`/host/etc/containerd/config.toml`).

pub mod command;
pub mod files;
pub mod lock;
pub mod mounts;
pub mod process;
pub mod root;

pub use root::HostRoot;
