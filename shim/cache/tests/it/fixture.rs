//! A cache of its own, and modules to put into it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;

use slipway_shim_cache::{Cache, Digest};

pub(crate) struct Fixture {
    pub(crate) root: tempfile::TempDir,
    pub(crate) cache: Cache,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    pub(crate) fn on(root: tempfile::TempDir) -> Self {
        let cache = Cache::open(&root.path().join("cache")).unwrap();
        Self { root, cache }
    }

    /// A wasm file that changed long enough ago to be known by its inode.
    pub(crate) fn settled(&self) -> File {
        // Nobody can set the change time, so take a file that came with the system.
        File::open("/bin/sh").unwrap()
    }

    pub(crate) fn module(&self, bytes: &[u8]) -> File {
        let path = self.root.path().join("module.wasm");
        fs::write(&path, bytes).unwrap();
        File::open(path).unwrap()
    }

    pub(crate) fn store(&self, module: Digest, code: &[u8]) {
        let lock = self.cache.lock().unwrap();
        let staging = lock.stage(module).unwrap();
        staging.file().write_all(code).unwrap();
        staging.commit().unwrap();
    }

    pub(crate) fn code(&self, module: Digest) -> PathBuf {
        self.path(&format!("{module}.cwasm"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root
            .path()
            .join("cache")
            .join(self.cache.key().as_str())
            .join(name)
    }
}

pub(crate) fn text(mut file: File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}
