//! Labels, annotations and finalizers, in one place since they are part of the API.

/// Annotation or label on a Node by which a user asks for Wasm (`"true"`) or opts out (`"false"`).
/// The key is KWasm's: its users' nodes and manifests work unchanged.
pub const WANTED: &str = "kwasm.sh/kwasm-node";

/// Node label set after the canary ran; the value is the node's name (KWasm's meaning of it).
pub const PROVISIONED: &str = "kwasm.sh/kwasm-provisioned";
/// Node label set after the canary ran; the value is `true`, so that a selector can name it.
pub const WASM: &str = "kubernetes.io/wasm";
/// Value of a node's shim label once a Wasm pod has run there; `RuntimeClasses` select it.
pub const READY: &str = "ready";

/// Label on KWasm's provision jobs and on ours, so that a user's selector finds both.
pub const KWASM_JOB: &str = "kwasm.sh/job";

/// Label on `RuntimeClasses` of ours: the name of the `Shim` they belong to.
pub const SHIM: &str = "slipway.dev/shim";
/// Node label that no node has: the `RuntimeClass` of a handler that is not asked for any more selects it.
pub const RETIRED: &str = "slipway.dev/retired";
/// Label on Jobs and pods: the name of the `NodeShim` they belong to.
pub const NODE_SHIM: &str = "slipway.dev/node-shim";
/// Kubernetes' label for who manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Our value of [`MANAGED_BY`].
pub const OPERATOR: &str = "slipway-operator";
/// Kubernetes' label for the part an object plays.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// [`COMPONENT`] of installer Jobs and their pods.
pub const COMPONENT_INSTALLER: &str = "installer";
/// [`COMPONENT`] of the pods that watch over the nodes' files.
pub const COMPONENT_WATCH: &str = "watch";
/// [`COMPONENT`] of canary pods and their `RuntimeClasses`.
pub const COMPONENT_CANARY: &str = "canary";
/// [`COMPONENT`] of the `RuntimeClasses` users name in their pods.
pub const COMPONENT_RUNTIME_CLASS: &str = "runtime-class";

/// Annotation on the default `Shim`: hash of what the chart's values said when it was last applied.
pub const APPLIED: &str = "slipway.dev/applied";

/// Held on a `NodeShim` until its node is clean or gone, and on a `Shim` until its nodes are.
pub const FINALIZER: &str = "slipway.dev/cleanup";

/// Annotation on a Node: an installer of this shim was let loose on it and has not cleaned up since.
/// It outlives the `NodeShim`, so that nothing stays behind when an object was lost or made anew.
#[must_use]
pub fn touched_annotation(shim: &str) -> String {
    format!("{TOUCHED_PREFIX}{shim}")
}

/// What [`touched_annotation`]s begin with.
pub const TOUCHED_PREFIX: &str = "slipway.dev/touched.";

/// The node label of one shim: `slipway.dev/<shim>`.
#[must_use]
pub fn shim_label(shim: &str) -> String {
    format!("slipway.dev/{shim}")
}
