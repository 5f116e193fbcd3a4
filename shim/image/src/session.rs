//! From a container to its wasm layer, in a program without threads.

use slipway_shim_cache::Digest;
use tokio::runtime::Runtime;

use crate::document::{Document, MAX_DOCUMENT};
use crate::grpc::Client;
use crate::{ImageError, Layer, containerd, select};

/// The most indexes and manifests that are read for one container: an index in an index, and what is tried of it.
const MAX_DOCUMENTS: usize = 16;

/// A connection to containerd.
#[derive(Debug)]
pub struct Session {
    // Dropped first: its task belongs to the runtime.
    client: Client,
    runtime: Runtime,
}

impl Session {
    /// Connects to the socket at `address` (with or without `unix://`) and speaks for `namespace`.
    ///
    /// The runtime it holds has no threads: a program with a session may fork once it is dropped.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn connect(address: &str, namespace: &str) -> Result<Self, ImageError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| ImageError::Connect {
                address: address.to_owned(),
                source,
            })?;
        let client = runtime.block_on(Client::connect(address, namespace))?;
        Ok(Self { client, runtime })
    }

    /// The wasm layer of the container's image that `named` means, the container's command without `#function`; `None`
    /// if the image has no wasm layers or the container no image.
    ///
    /// # Errors
    /// When it cannot be told, in one sentence.
    pub fn layer(&mut self, container: &str, named: &str) -> Result<Option<Layer>, ImageError> {
        self.runtime
            .block_on(find(&mut self.client, container, named))
    }

    /// Reads a layer; its bytes are those of its digest.
    ///
    /// # Errors
    /// When it is not there or has other bytes.
    pub fn read(&mut self, layer: &Layer) -> Result<Vec<u8>, ImageError> {
        let reading = containerd::content(
            &mut self.client,
            "wasm layer",
            &layer.digest,
            layer.size.min(select::MAX_LAYER),
        );
        self.runtime
            .block_on(reading)?
            .ok_or_else(|| missing("wasm layer", &layer.digest))
    }
}

async fn find(
    client: &mut Client,
    container: &str,
    named: &str,
) -> Result<Option<Layer>, ImageError> {
    let Some(root) = containerd::image(client, container).await? else {
        return Ok(None);
    };
    // Depth first, best candidate on top.
    let mut open = vec![root];
    let mut manifests = 0;
    for _ in 0..MAX_DOCUMENTS {
        let Some(digest) = open.pop() else {
            break;
        };
        let read = containerd::content(client, "index or manifest", &digest, MAX_DOCUMENT);
        let Some(json) = read.await? else {
            if digest == root {
                return Err(missing("index or manifest", &digest));
            }
            // Pulled for other platforms only.
            continue;
        };
        match Document::parse(&json, &digest)? {
            Document::Index(entries) => {
                open.extend(select::candidates(&entries).into_iter().rev());
            }
            Document::Manifest(layers) => {
                manifests += 1;
                if let Some(layer) = select::layer(&layers, named)? {
                    return Ok(Some(layer));
                }
            }
        }
    }
    match manifests {
        0 => Err(ImageError::NoManifest {
            platform: format!("linux/{}", select::architecture()),
        }),
        _ => Ok(None),
    }
}

fn missing(what: &'static str, digest: &Digest) -> ImageError {
    ImageError::Document {
        what,
        digest: format!("sha256:{digest}"),
        reason: "is not in containerd's content store; pull the image again".to_owned(),
    }
}
