//! Where containerd's API is. This process does not speak to it; the compiler does, for images whose wasm is a layer.

/// The containerd whose pod this is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Containerd {
    /// Its gRPC socket, as it says itself.
    pub address: String,
    /// Its namespace.
    pub namespace: String,
}
