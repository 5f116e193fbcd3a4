//! The handler's options and a pod's annotations: the input is TOML up to a NUL, and then annotations, a name and a value
//! each up to a NUL.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_shim_options::{Http, Options};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut parts = text.split('\0');
    let body = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let names: Vec<String> = rest
        .chunks(2)
        .map(|pair| format!("slipway.dev/{}", pair[0]))
        .collect();
    let values = rest
        .chunks(2)
        .map(|pair| pair.get(1).copied().unwrap_or_default());
    let annotations = names.iter().map(String::as_str).zip(values);
    match Options::parse(body, annotations) {
        Ok(options) => {
            let http = options.http;
            assert!(http.reuse.get() <= Http::MAX_REUSE);
            assert!(
                http.concurrency
                    .is_none_or(|n| n.get() <= Http::MAX_CONCURRENCY)
            );
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.contains('\n'), "{sentence:?}");
        }
    }
});
