//! Names the tests use. They are written out here, not taken from the operator: a user types them.

/// Namespace of the release, as in the upstream instructions users follow.
pub const NAMESPACE: &str = "kwasm";
/// The release.
pub const RELEASE: &str = "kwasm-operator";
/// The RuntimeClass under test.
pub const RUNTIME_CLASS: &str = "wasmtime";
/// The annotation, or label, that asks for Wasm on a node.
pub const WANTED: &str = "kwasm.sh/kwasm-node";
/// Label whose value is the node's name.
pub const PROVISIONED: &str = "kwasm.sh/kwasm-provisioned";
/// Label many manifests select.
pub const WASM: &str = "kubernetes.io/wasm";
/// Label our RuntimeClasses select.
pub const READY: &str = "slipway.dev/slipway";

/// The labels a node has if, and only if, Wasm runs on it.
#[must_use]
pub fn ready_labels(node: &str) -> [(&'static str, String); 3] {
    [
        (PROVISIONED, node.to_owned()),
        (WASM, "true".to_owned()),
        (READY, "ready".to_owned()),
    ]
}
