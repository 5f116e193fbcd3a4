//! Why an image's wasm could not be had.

use std::io;

use slipway_shim_cache::Digest;

/// The longest piece of somebody else's text in a sentence of ours.
const EXCERPT: usize = 80;

/// One sentence each, for the container's log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// containerd's socket.
    #[error("containerd at {address}: {source}")]
    Connect {
        /// Where.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// A call failed on the way.
    #[error("containerd: {call}: {reason}")]
    Call {
        /// Which one.
        call: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// containerd refused.
    #[error("containerd: {call}: {message} (gRPC status {code})")]
    Refused {
        /// Which call.
        call: &'static str,
        /// gRPC's status.
        code: u32,
        /// containerd's words.
        message: String,
    },
    /// A JSON document that is none, or is not as the OCI image specification has it.
    #[error("the image's {what} {digest}: {reason}")]
    Document {
        /// Index or manifest.
        what: &'static str,
        /// Which one.
        digest: String,
        /// What is wrong.
        reason: String,
    },
    /// A descriptor's digest.
    #[error("the image names a digest that is not sha256: {0}")]
    Digest(String),
    /// Longer than it may be.
    #[error("the image's {what} is {found} bytes long; at most {limit} are read")]
    TooLong {
        /// What.
        what: &'static str,
        /// Its length as declared, or as far as it was read.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// The bytes are not those that were named.
    #[error(
        "the image's {what} {digest}: containerd's content has other bytes; pull the image again"
    )]
    Corrupt {
        /// What.
        what: &'static str,
        /// As named.
        digest: Digest,
    },
    /// No manifest is there.
    #[error(
        "none of the image's manifests for wasm or {platform} is on this node; pull the image again, for one platform"
    )]
    NoManifest {
        /// This machine's platform.
        platform: String,
    },
    /// More than one layer may be meant.
    #[error(
        "the image has {count} wasm layers: {list}; set the container's command to the title of one of them"
    )]
    Ambiguous {
        /// How many.
        count: usize,
        /// Their titles or digests.
        list: String,
    },
}

/// Somebody else's text, made fit for one line.
pub(crate) fn excerpt(text: &str) -> String {
    let mut cut: String = text.chars().take(EXCERPT).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut.escape_debug().to_string()
}
