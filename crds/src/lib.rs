//! The Kubernetes API of Slipway: group `slipway.dev`, version `v1alpha1`.
//!
//! ```text
//!  Shim s  ──annotation, nodeSelector──►  NodeShim N.s   one object a node and shim: what stands there and why not
//! ```
//!
//! This crate holds types, names and constants only. It talks to no API server and decides nothing;
//! the operator does. The YAML of the definitions is generated from here (`crdgen`) and never edited.

pub mod conditions;
pub mod generate;
pub mod labels;
pub mod names;
pub mod node_shim;
pub mod shim;

pub use node_shim::{NodeShim, NodeShimSpec, NodeShimStatus, Phase};
pub use shim::{Shim, ShimSpec, ShimStatus};

/// The API group of every Slipway kind.
pub const GROUP: &str = "slipway.dev";
/// The shim that comes with Slipway, carried by the installer image.
pub const BUNDLED_SHIM: &str = "slipway";
