//! The node's cache of compiled code: `<root>/<key>/<digest>.cwasm`, compiled once a node and mapped by
//! every worker that runs the same module.
//!
//! ```text
//! /var/lib/slipway/cache/           mode 0700, every directory above it owned by root
//!   lock                            held by the one compiler that runs on this node
//!   queue/<number>                  held by each that waits for it, in the order of their coming
//!   identities/<sha256>             which module an inode holds, so that it need not be hashed again
//!   wasmtime-…-r…-x86_64-…/         the [`Key`]: engine, configuration, processor
//!     <sha256 of the module>.cwasm  native code, as the engine maps it
//!     <sha256 of the module>.seal   its length and sha256, and whether this boot has checked them
//!     <sha256 of the module>.refused  why it was not compiled; for an hour
//! ```
//!
//! Only root writes here, and nothing is believed that somebody else could have written: native code is
//! never taken from an image (ARCHITECTURE.md). The pod process reads ([`Cache::find`],
//! [`Cache::get`]), the compiler writes ([`Cache::lock`], [`Lock::stage`]).
//!
//! This crate does not know wasmtime; what the engine bakes into a file is named by [`key::ENGINE`] and
//! [`key::REVISION`], and `shim/engine` tests that they are kept up.

mod cache;
mod collect;
mod digest;
mod identity;
pub mod key;
mod queue;
mod refusal;
mod seal;
mod store;
mod trust;

pub use cache::{Cache, CacheError, DEFAULT_ROOT, INLINE_LIMIT};
pub use collect::SPACE_LIMIT;
pub use digest::{Digest, ParseDigestError};
pub use identity::{Identity, Namespace, ParseNamespaceError};
pub use key::Key;
pub use store::{Lock, Staging};
