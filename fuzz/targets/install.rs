//! The spec of an install, which comes from a custom resource: any text is a sentence, or handlers whose tables containerd's
//! parser can read again and that go away without a trace.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use slipway_node_installer::containerd::document;
use slipway_node_installer::containerd::rewrite::{self, Additions};
use slipway_node_installer::containerd::schema::Schema;
use slipway_node_installer::containerd::tables;
use slipway_node_installer::spec::{MAX_HANDLERS, Spec};

const FOREIGN: &str = "version = 3\n[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.\"runc\"]\nruntime_type = \"io.containerd.runc.v2\"\n";

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let spec: Spec = match text.parse() {
        Ok(spec) => spec,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!((1..=MAX_HANDLERS).contains(&spec.handlers.len()));
    let path = Path::new("/etc/containerd/config.toml");
    let shim = Path::new("/opt/slipway/0123").join(&spec.binary);
    let handlers = spec.tables(&shim);
    let schema = Schema::Split(3);
    let after = rewrite::add_handlers(path, FOREIGN, schema, &handlers, false)
        .expect("a checked spec can be written");
    let document = document::parse(path, &after).expect("what was written parses");
    let runtimes = tables::runtimes(&document, schema).expect("there are runtimes");
    assert_eq!(runtimes.len(), handlers.len() + 1);
    let back = rewrite::withdraw(
        path,
        &after,
        Path::new("/opt/slipway"),
        &Additions::default(),
    );
    assert_eq!(back.expect("it can be taken out"), FOREIGN);
});
