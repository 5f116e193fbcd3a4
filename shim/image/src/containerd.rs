//! The three services of containerd that are asked.

use slipway_shim_cache::Digest;

use crate::ImageError;
use crate::api::{
    GetContainerResponse, GetImageResponse, GetRequest, ReadContentRequest, ReadContentResponse,
};
use crate::document::sha256;
use crate::error::excerpt;
use crate::grpc::{Call, Client, NOT_FOUND, decode};

const CONTAINER: Call = Call {
    name: "looking up the container",
    path: "/containerd.services.containers.v1.Containers/Get",
};
const IMAGE: Call = Call {
    name: "looking up the image",
    path: "/containerd.services.images.v1.Images/Get",
};
const CONTENT: Call = Call {
    name: "reading content",
    path: "/containerd.services.content.v1.Content/Read",
};

/// The image of a container: the digest of its index or manifest; `None` for a container without an image.
pub(crate) async fn image(
    client: &mut Client,
    container: &str,
) -> Result<Option<Digest>, ImageError> {
    let request = GetRequest {
        name: container.to_owned(),
    };
    let answer: GetContainerResponse = client.get(CONTAINER, &request).await?;
    let name = answer.container.unwrap_or_default().image;
    if name.is_empty() {
        return Ok(None);
    }
    let answer: GetImageResponse = client.get(IMAGE, &GetRequest { name }).await?;
    let target = answer.image.and_then(|image| image.target);
    let digest = target.unwrap_or_default().digest;
    match sha256(&digest) {
        Some(digest) => Ok(Some(digest)),
        None => Err(ImageError::Digest(excerpt(&digest))),
    }
}

/// Reads content of at most `limit` bytes, and makes sure that it is what its digest says; `None` if it is not there.
pub(crate) async fn content(
    client: &mut Client,
    what: &'static str,
    digest: &Digest,
    limit: u64,
) -> Result<Option<Vec<u8>>, ImageError> {
    let request = ReadContentRequest {
        digest: format!("sha256:{digest}"),
    };
    let mut bytes = Vec::new();
    let read = client.call(CONTENT, &request, |message| {
        let piece: ReadContentResponse = decode(CONTENT, message)?;
        let found = bytes.len() as u64 + piece.data.len() as u64;
        if u64::try_from(piece.offset) != Ok(bytes.len() as u64) {
            return Err(ImageError::Corrupt {
                what,
                digest: *digest,
            });
        }
        if found > limit {
            return Err(ImageError::TooLong { what, found, limit });
        }
        bytes.extend_from_slice(&piece.data);
        Ok(())
    });
    match read.await {
        Ok(()) => {}
        Err(ImageError::Refused {
            code: NOT_FOUND, ..
        }) => return Ok(None),
        Err(error) => return Err(error),
    }
    if Digest::of(&bytes) != *digest {
        return Err(ImageError::Corrupt {
            what,
            digest: *digest,
        });
    }
    Ok(Some(bytes))
}
