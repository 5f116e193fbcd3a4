//! What can be tested of the conformance cases without a containerd.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod table;
