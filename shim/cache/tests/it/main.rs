//! The cache on a real file system.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod collect;
mod fixture;
mod lookup;
mod trust;
