//! containerd's configuration: what it says, and how a handler is added so that everything else stays as it is.
//!
//! All of it is pure but [`imports::load`] and [`validate`], which read the host and run its containerd.

pub mod document;
pub mod dump;
pub mod handler;
pub mod imports;
pub mod layout;
pub mod leftovers;
pub mod plan;
pub mod rewrite;
pub mod schema;
pub mod tables;
pub mod template;
pub mod validate;
pub mod version;
