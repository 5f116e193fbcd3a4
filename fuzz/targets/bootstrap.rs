//! The standard input of `start`, and the options that `Create` brings: both come from whoever calls the shim.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use slipway_shim_pod::api::types::Any;
use slipway_shim_pod::args::{self, Flags};
use slipway_shim_pod::bootstrap::{self, Reply};
use slipway_shim_pod::options;
use slipway_shim_wire::MAX_OPTIONS;

fuzz_target!(|bytes: &[u8]| {
    let flags = Flags {
        id: "id".to_owned(),
        address: "/run/c".to_owned(),
        ..Flags::default()
    };
    let read = bootstrap::read(bytes, &flags, Some("/run/c.ttrpc"));
    // Version 3 takes the id, or the installer's line.
    let has = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    assert!(read.reply == Reply::Plain || has(b"id") || has(b"task_api = 3"));
    assert!(!read.socket_dir.is_empty() && !read.address.is_empty());
    assert!(read.events_address.is_some());
    let reply = read.reply.render("unix:///s");
    assert!(reply.contains("unix:///s") && !reply.contains('\n'));

    if let Ok(any) = Any::decode(bytes)
        && let Ok(body) = options::body(Some(&any))
    {
        assert!(body.len() <= MAX_OPTIONS);
    }
    // The message itself, without its envelope.
    let any = Any {
        type_url: "runtimeoptions.v1.Options".to_owned(),
        value: bytes.to_vec(),
    };
    if let Ok(body) = options::body(Some(&any)) {
        assert!(body.len() <= MAX_OPTIONS);
    }

    let line = String::from_utf8_lossy(bytes);
    let _ = args::parse(line.split('\n').map(str::to_owned));
});
