//! Indexes and manifests of images, and the choice among what they list.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_shim_cache::Digest;
use slipway_shim_image::document::{Document, MAX_ENTRIES};
use slipway_shim_image::select::{MAX_LAYER, WASM_LAYERS, candidates, layer};

fuzz_target!(|bytes: &[u8]| {
    let document = match Document::parse(bytes, &Digest::of(bytes)) {
        Ok(document) => document,
        Err(error) => {
            let sentence = error.to_string();
            assert!(
                sentence.len() < 1024 && !sentence.contains('\n'),
                "{sentence:?}"
            );
            return;
        }
    };
    match document {
        Document::Index(entries) => {
            assert!(entries.len() <= MAX_ENTRIES);
            let candidates = candidates(&entries);
            assert!(
                candidates
                    .iter()
                    .all(|one| entries.iter().any(|entry| entry.digest == *one))
            );
        }
        Document::Manifest(blobs) => {
            assert!(blobs.len() <= MAX_ENTRIES);
            for named in ["", "/", "/app.wasm", "app.wasm"] {
                match layer(&blobs, named) {
                    Ok(Some(layer)) => {
                        assert!(layer.size <= MAX_LAYER);
                        let listed = blobs.iter().any(|blob| {
                            blob.digest == Some(layer.digest)
                                && WASM_LAYERS.contains(&blob.media_type.as_str())
                        });
                        assert!(listed, "a layer that is none of wasm");
                    }
                    Ok(None) => {}
                    Err(error) => assert!(error.to_string().len() < 4096),
                }
            }
        }
    }
});
