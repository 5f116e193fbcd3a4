//! Which manifest of an index, and which layer of a manifest.

use slipway_shim_cache::Digest;

use crate::ImageError;
use crate::document::{Blob, Entry};
use crate::error::excerpt;

/// The media types of layers that are one wasm file, as it is:
///
/// | media type | written by |
/// |---|---|
/// | `application/wasm` | the CNCF's Wasm OCI artifact (TAG Runtime, "Wasm OCI Artifact Layout") |
/// | `application/vnd.bytecodealliance.wasm.component.layer.v0+wasm` | runwasi's `oci-tar-builder` |
/// | `application/vnd.wasm.content.layer.v1+wasm` | wasm-to-oci, Spin |
///
/// None of them says that code is compiled already, and code that is is refused by its bytes.
pub const WASM_LAYERS: [&str; 3] = [
    "application/wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
];

/// The most wasm layers of one image.
pub const MAX_LAYERS: usize = 64;

/// The longest wasm layer, the most that is compiled.
pub const MAX_LAYER: u64 = 512 << 20;

/// The most manifests of an index that are tried.
const MAX_CANDIDATES: usize = 8;

/// The most titles in a sentence.
const LISTED: usize = 8;

/// A layer that is a wasm file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its digest, which is that of the wasm file.
    pub digest: Digest,
    /// Its length in bytes, at most [`MAX_LAYER`].
    pub size: u64,
}

/// This machine's architecture as images call it (Go's `GOARCH`).
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The manifests that may be meant, in the order in which to try them: those for wasm, then this machine's, then those
/// that do not say. Which of them is on the node depends on the platforms that were pulled.
#[must_use]
pub fn candidates(index: &[Entry]) -> Vec<Digest> {
    let rank = |entry: &Entry| match &entry.platform {
        Some((_, architecture)) if architecture == "wasm" || architecture == "wasm32" => Some(0),
        Some((os, here)) if os == "linux" && here == architecture() => Some(1),
        None => Some(2),
        Some(_) => None,
    };
    let mut ranked: Vec<(u8, Digest)> = index
        .iter()
        .filter_map(|entry| Some((rank(entry)?, entry.digest)))
        .collect();
    // Stable: the index's own order counts among equals.
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.truncate(MAX_CANDIDATES);
    ranked.into_iter().map(|(_, digest)| digest).collect()
}

/// The wasm layer that `named` (the command, without `#function`) means: the one with that title, else the only one.
/// `Ok(None)` for an image without wasm layers.
///
/// # Errors
/// When more than one may be meant, or when the one is too long or of a digest that is not supported.
pub fn layer(layers: &[Blob], named: &str) -> Result<Option<Layer>, ImageError> {
    let wasm: Vec<&Blob> = layers
        .iter()
        .filter(|layer| WASM_LAYERS.contains(&layer.media_type.as_str()))
        .collect();
    if wasm.len() > MAX_LAYERS {
        return Err(ImageError::TooLong {
            what: "list of wasm layers",
            found: wasm.len() as u64,
            limit: MAX_LAYERS as u64,
        });
    }
    let chosen = match wasm.as_slice() {
        [] => return Ok(None),
        [only] => *only,
        several => by_title(several, named).ok_or_else(|| ambiguous(several))?,
    };
    let digest = chosen
        .digest
        .ok_or_else(|| ImageError::Digest("of its wasm layer".to_owned()))?;
    if chosen.size > MAX_LAYER {
        return Err(ImageError::TooLong {
            what: "wasm layer",
            found: chosen.size,
            limit: MAX_LAYER,
        });
    }
    Ok(Some(Layer {
        digest,
        size: chosen.size,
    }))
}

/// The one layer with this path as its title, else the one with this file name.
fn by_title<'a>(layers: &[&'a Blob], named: &str) -> Option<&'a Blob> {
    let named = relative(named);
    let one = |matches: &dyn Fn(&str) -> bool| {
        let mut found = layers
            .iter()
            .filter(|layer| layer.title.as_deref().is_some_and(matches));
        let first = found.next()?;
        // Twice the same file is one.
        found
            .all(|other| other.digest == first.digest)
            .then_some(*first)
    };
    one(&|title| relative(title) == named)
        .or_else(|| one(&|title| !named.is_empty() && file_name(title) == file_name(named)))
}

fn relative(path: &str) -> &str {
    path.trim_start_matches("./").trim_start_matches('/')
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn ambiguous(layers: &[&Blob]) -> ImageError {
    let name = |layer: &&Blob| match (&layer.title, layer.digest) {
        (Some(title), _) => excerpt(title),
        (None, Some(digest)) => format!("sha256:{digest} without a title"),
        (None, None) => "one without a title".to_owned(),
    };
    let mut names: Vec<String> = layers.iter().take(LISTED).map(name).collect();
    if layers.len() > LISTED {
        names.push(format!("and {} more", layers.len() - LISTED));
    }
    ImageError::Ambiguous {
        count: layers.len(),
        list: names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(media_type: &str, title: Option<&str>) -> Blob {
        Blob {
            media_type: media_type.to_owned(),
            digest: Some(Digest::of(title.unwrap_or_default().as_bytes())),
            size: 1,
            title: title.map(str::to_owned),
        }
    }

    fn entry(bytes: &[u8], platform: Option<(&str, &str)>) -> Entry {
        Entry {
            digest: Digest::of(bytes),
            platform: platform.map(|(os, arch)| (os.to_owned(), arch.to_owned())),
        }
    }

    #[test]
    fn wasm_comes_before_this_machine_and_attestations_never() {
        let index = [
            entry(b"attestation", Some(("unknown", "unknown"))),
            entry(b"plain", None),
            entry(b"host", Some(("linux", architecture()))),
            entry(b"other", Some(("linux", "s390x"))),
            entry(b"wasm", Some(("wasip1", "wasm"))),
        ];
        let expected = [b"wasm".as_slice(), b"host", b"plain"].map(Digest::of);
        assert_eq!(candidates(&index), expected);
    }

    #[test]
    fn the_only_wasm_layer_is_meant_whatever_the_command_says() {
        for media_type in WASM_LAYERS {
            let layers = [
                blob("application/vnd.oci.image.layer.v1.tar+gzip", None),
                blob(media_type, Some("a.wasm")),
            ];
            for named in ["/", "/b.wasm", ""] {
                let chosen = layer(&layers, named).unwrap().unwrap();
                assert_eq!(chosen.digest, Digest::of(b"a.wasm"), "{named}");
            }
        }
    }

    #[test]
    fn several_are_told_apart_by_title_then_by_file_name() {
        let layers = ["a.wasm", "x/b.wasm", "y/b.wasm", "c"]
            .map(|title| blob("application/wasm", Some(title)));
        for (named, title) in [
            ("/a.wasm", "a.wasm"),
            ("./y/b.wasm", "y/b.wasm"),
            ("/opt/a.wasm", "a.wasm"),
        ] {
            let chosen = layer(&layers, named).unwrap().unwrap();
            assert_eq!(chosen.digest, Digest::of(title.as_bytes()), "{named}");
        }
        for named in ["/", "b.wasm", "/d.wasm"] {
            let sentence = layer(&layers, named).unwrap_err().to_string();
            assert_eq!(
                sentence,
                "the image has 4 wasm layers: a.wasm, x/b.wasm, y/b.wasm, c; \
                 set the container's command to the title of one of them"
            );
        }
    }

    #[test]
    fn an_ordinary_image_has_none() {
        let layers = [blob("application/vnd.oci.image.layer.v1.tar+gzip", None)];
        assert_eq!(layer(&layers, "/a.wasm").unwrap(), None);
    }

    #[test]
    fn bounds_and_digests_are_kept() {
        let mut long = blob("application/wasm", None);
        long.size = MAX_LAYER + 1;
        let sentence = layer(&[long], "/").unwrap_err().to_string();
        assert!(sentence.starts_with("the image's wasm layer is 536870913 bytes long"));
        let mut other = blob("application/wasm", None);
        other.digest = None;
        assert!(matches!(layer(&[other], "/"), Err(ImageError::Digest(_))));
        let many = vec![blob("application/wasm", None); MAX_LAYERS + 1];
        assert!(matches!(layer(&many, "/"), Err(ImageError::TooLong { .. })));
    }
}
