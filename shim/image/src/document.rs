//! Image indexes and manifests (OCI image specification 1.1, `image-index.md` and `manifest.md`), and Docker's of the
//! same shape. Somebody else's bytes: bounded, and read for what is needed only.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use slipway_shim_cache::Digest;

use crate::ImageError;
use crate::error::excerpt;

/// The longest index or manifest; registries take 4 MiB (OCI distribution specification 1.1, "Pushing Manifests").
pub const MAX_DOCUMENT: u64 = 4 << 20;

/// The most entries of one list that are looked at. Image layers are limited to 127 by overlayfs's users.
pub const MAX_ENTRIES: usize = 512;

/// The annotation with a blob's file name (OCI image specification 1.1, `annotations.md`).
const TITLE: &str = "org.opencontainers.image.title";

/// An index or a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image for several platforms.
    Index(Vec<Entry>),
    /// The layers of one image.
    Manifest(Vec<Blob>),
}

/// What an index lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The index or manifest.
    pub digest: Digest,
    /// Its operating system and architecture, if it says.
    pub platform: Option<(String, String)>,
}

/// What a manifest lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its media type.
    pub media_type: String,
    /// Its digest; `None` for one of an algorithm that is not supported.
    pub digest: Option<Digest>,
    /// Its length in bytes.
    pub size: u64,
    /// Its file name, if it says.
    pub title: Option<String>,
}

impl Document {
    /// Reads an index or a manifest and tells them apart by what they list. `digest` is for messages.
    ///
    /// # Errors
    /// [`ImageError`] names what is wrong.
    pub fn parse(json: &[u8], digest: &Digest) -> Result<Self, ImageError> {
        let fault = |reason: String| ImageError::Document {
            what: "index or manifest",
            digest: format!("sha256:{digest}"),
            reason,
        };
        let raw: RawDocument =
            serde_json::from_slice(json).map_err(|error| fault(excerpt(&error.to_string())))?;
        match (raw.manifests, raw.layers) {
            (Some(entries), None) => Ok(Self::Index(
                // An entry that cannot be used is as good as absent.
                entries.0.into_iter().filter_map(Entry::of).collect(),
            )),
            (None, Some(layers)) => {
                Ok(Self::Manifest(layers.0.into_iter().map(Blob::of).collect()))
            }
            (Some(_), Some(_)) => Err(fault("lists both manifests and layers".to_owned())),
            (None, None) => Err(fault("lists neither manifests nor layers".to_owned())),
        }
    }
}

impl Entry {
    fn of(raw: RawDescriptor) -> Option<Self> {
        let platform = raw
            .platform
            .map(|platform| (platform.os, platform.architecture));
        Some(Self {
            digest: sha256(&raw.digest)?,
            platform,
        })
    }
}

impl Blob {
    fn of(mut raw: RawDescriptor) -> Self {
        Self {
            digest: sha256(&raw.digest),
            size: raw.size,
            title: raw.annotations.remove(TITLE).filter(|t| !t.is_empty()),
            media_type: raw.media_type,
        }
    }
}

/// Reads `sha256:<64 hexadecimal digits>`.
#[must_use]
pub fn sha256(text: &str) -> Option<Digest> {
    text.strip_prefix("sha256:")?.parse().ok()
}

#[derive(Deserialize)]
struct RawDocument {
    manifests: Option<Bounded>,
    layers: Option<Bounded>,
}

#[derive(Deserialize)]
struct RawDescriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<RawPlatform>,
    #[serde(default, deserialize_with = "annotations")]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

/// A list of descriptors, at most [`MAX_ENTRIES`].
struct Bounded(Vec<RawDescriptor>);

impl<'de> Deserialize<'de> for Bounded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Bounded;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_ENTRIES} descriptors")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Bounded, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element()? {
                    if entries.len() == MAX_ENTRIES {
                        return Err(serde::de::Error::invalid_length(MAX_ENTRIES + 1, &self));
                    }
                    entries.push(entry);
                }
                Ok(Bounded(entries))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// Only the title: the rest of somebody's annotations is nobody's business here.
fn annotations<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct Title;
    impl<'de> Visitor<'de> for Title {
        type Value = BTreeMap<String, String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("annotations")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut kept = BTreeMap::new();
            while let Some(key) = map.next_key::<String>()? {
                if key == TITLE {
                    kept.insert(key, map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(kept)
        }
    }
    deserializer.deserialize_any(Title)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn parse(json: &str) -> Result<Document, String> {
        Document::parse(json.as_bytes(), &Digest::of(json.as_bytes()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_index_lists_what_can_be_used() {
        let json = format!(
            r#"{{"schemaVersion":2,"manifests":[
              {{"mediaType":"m","digest":"{DIGEST}","size":7,"platform":{{"os":"wasip1","architecture":"wasm"}}}},
              {{"digest":"sha512:00","size":7}},
              {{"digest":"{DIGEST}","size":7}}]}}"#
        );
        let digest = sha256(DIGEST).unwrap();
        let platform = Some(("wasip1".to_owned(), "wasm".to_owned()));
        assert_eq!(
            parse(&json),
            Ok(Document::Index(vec![
                Entry { digest, platform },
                Entry {
                    digest,
                    platform: None
                }
            ]))
        );
    }

    #[test]
    fn a_manifest_lists_its_layers_with_their_titles() {
        let json = format!(
            r#"{{"config":{{}},"layers":[
              {{"mediaType":"application/wasm","digest":"{DIGEST}","size":7,
                "annotations":{{"org.opencontainers.image.title":"a.wasm","other":"x"}}}},
              {{"mediaType":"tar","digest":"sha512:00","size":9,"annotations":null}}]}}"#
        );
        let Ok(Document::Manifest(layers)) = parse(&json) else {
            panic!("no manifest");
        };
        assert_eq!(layers[0].title.as_deref(), Some("a.wasm"));
        assert_eq!(layers[0].digest, sha256(DIGEST));
        assert_eq!((layers[1].digest, layers[1].size), (None, 9));
    }

    #[test]
    fn anything_else_is_refused_in_one_sentence() {
        let many = format!(
            r#"{{"layers":[{}]}}"#,
            vec![format!(r#"{{"digest":"{DIGEST}","size":1}}"#); MAX_ENTRIES + 1].join(",")
        );
        for (json, expected) in [
            ("{}", "lists neither"),
            (r#"{"layers":[],"manifests":[]}"#, "lists both"),
            ("[", "EOF"),
            (r#"{"layers":[{"digest":"x","size":-1}]}"#, "-1"),
            (&many, "at most 512 descriptors"),
        ] {
            let sentence = parse(json).unwrap_err();
            assert!(sentence.contains(expected), "{sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
        }
    }
}
