//! What lies in the cache's directory: code is handed out if its seal tells its length and its digest, and else never.
//! The input is the seal; a `~` in it stands for the digest of the code.
#![no_main]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use slipway_shim_cache::{Cache, Digest};

const CODE: &[u8] = b"code";

struct Node {
    cache: Cache,
    module: Digest,
    folder: tempfile::TempDir,
}

static NODE: LazyLock<Node> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary directory");
    Node {
        cache: Cache::open(&folder.path().join("cache")).expect("a cache"),
        module: Digest::of(b"module"),
        folder,
    }
});

fuzz_target!(|bytes: &[u8]| {
    let Node {
        cache,
        module,
        folder,
    } = &*NODE;
    let entries = folder.path().join("cache").join(cache.key().as_str());
    let digest = Digest::of(CODE).to_string();
    let seal: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| match byte {
            b'~' => digest.as_bytes(),
            byte => std::slice::from_ref(byte),
        })
        .copied()
        .collect();
    for (ending, content) in [("cwasm", CODE), ("seal", &seal)] {
        let path = entries.join(format!("{module}.{ending}"));
        fs::write(&path, content).expect("a file in the cache");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    }
    let found = cache.get(module).expect("a cache that can be read");
    if found.is_some() {
        let begin = format!("slipway code 1\nlength {}\nsha256 {digest}\n", CODE.len());
        assert!(
            seal.starts_with(begin.as_bytes()),
            "{:?}",
            seal.escape_ascii()
        );
    }
});
