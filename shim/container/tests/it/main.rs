//! Containers made for real, by root, each in a child process with a PID namespace of its own.

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions, not in what they share"
)]

mod child;
mod config;
mod files;
mod guest;
mod modules;
mod namespaces;
mod privileges;
mod probe;
mod seccomp;
mod users;
