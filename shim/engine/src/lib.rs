//! The engine: one configuration for the compiler, which bakes it into code, and the worker, which runs it.
//!
//! [`config`] is the only place that configures wasmtime; what of it is baked into compiled files is named
//! by the cache key (`slipway_shim_cache::key`) and by the file's [`Header`]. The worker loads code with [`load`],
//! which only ever gets files out of the node's cache, and learns from [`Kind`] what to do with it. [`imports`] says in one
//! sentence what a guest asks for and nobody offers.
//!
//! Only the feature `compiler` links Cranelift; the worker is built without it.

#[cfg(feature = "compiler")]
pub mod compile;
#[cfg(feature = "compiler")]
mod componentize;
pub mod config;
#[cfg(feature = "compiler")]
mod flavour;
mod header;
pub mod imports;
mod kind;
mod load;

pub use header::{Flavour, Header};
pub use kind::{Kind, KindError, Wasi};
pub use load::{Code, LoadError, load};
pub use slipway_shim_cache::key::ENGINE;
