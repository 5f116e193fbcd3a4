//! The real binary, spoken to as containerd speaks to it. Needs root: it makes namespaces and cgroups.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod container;
mod contract;
mod exec;
mod harness;
mod logging;
mod memory;
mod native;
mod pauseless;
mod sandbox;
mod terminal;
