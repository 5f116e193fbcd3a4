//! The cache on a real file system.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use slipway_shim_cache::{Cache, Digest, INLINE_LIMIT, Key, Namespace};

struct Fixture {
    root: tempfile::TempDir,
    cache: Cache,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(&root.path().join("cache")).unwrap();
        Self { root, cache }
    }

    /// A wasm file that changed long enough ago to be known by its inode.
    fn settled(&self) -> File {
        // Nobody can set the change time, so take a file that came with the system.
        File::open("/bin/sh").unwrap()
    }

    fn module(&self, bytes: &[u8]) -> File {
        let path = self.root.path().join("module.wasm");
        fs::write(&path, bytes).unwrap();
        File::open(path).unwrap()
    }

    fn store(&self, module: Digest, code: &[u8]) {
        let lock = self.cache.lock().unwrap();
        let staging = lock.stage(module).unwrap();
        staging.file().write_all(code).unwrap();
        staging.commit().unwrap();
    }

    fn code(&self, module: Digest) -> PathBuf {
        self.path(&format!("{module}.cwasm"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root
            .path()
            .join("cache")
            .join(self.cache.key().as_str())
            .join(name)
    }
}

fn text(mut file: File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_module_is_found_by_its_bytes() {
    let fixture = Fixture::new();
    let module = fixture.module(b"wasm");
    assert!(fixture.cache.find(&module, None).unwrap().is_none());
    fixture.store(Digest::of(b"wasm"), b"code");
    let code = fixture.cache.find(&module, None).unwrap().unwrap();
    assert_eq!(text(code), "code");
}

#[test]
fn a_module_on_a_root_file_system_is_found_by_its_inode() {
    let fixture = Fixture::new();
    let module = fixture.settled();
    let namespace = Namespace::new("/layers/1");
    // Another digest than that of its bytes shows that they were not read.
    let digest = Digest::of(b"wasm");
    fixture.store(digest, b"code");
    let identity = fixture.cache.identify(&module, namespace).unwrap().unwrap();
    fixture.cache.remember(identity, &digest).unwrap();
    let code = fixture.cache.find(&module, Some(namespace)).unwrap();
    assert_eq!(code.map(text).as_deref(), Some("code"));

    let elsewhere = Some(Namespace::new("/layers/2"));
    assert!(fixture.cache.find(&module, elsewhere).unwrap().is_none());
    assert!(fixture.cache.find(&module, None).unwrap().is_none());
}

#[test]
fn an_identity_that_is_not_ours_is_not_believed() {
    let fixture = Fixture::new();
    let module = fixture.settled();
    let namespace = Namespace::new("/layers/1");
    let digest = Digest::of(b"wasm");
    fixture.store(digest, b"code");
    let identity = fixture.cache.identify(&module, namespace).unwrap().unwrap();
    fixture.cache.remember(identity, &digest).unwrap();
    let identities = fixture.root.path().join("cache/identities");
    for entry in fs::read_dir(identities).unwrap() {
        fs::write(entry.unwrap().path(), "../../../etc/passwd\n").unwrap();
    }
    assert!(
        fixture
            .cache
            .find(&module, Some(namespace))
            .unwrap()
            .is_none()
    );
}

#[test]
fn truncated_code_is_removed() {
    let fixture = Fixture::new();
    let digest = Digest::of(b"wasm");
    fixture.store(digest, b"some code");
    let path = fixture.code(digest);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(4)
        .unwrap();
    assert!(fixture.cache.get(&digest).unwrap().is_none());
    assert!(!path.exists());
}

#[test]
fn changed_code_is_removed() {
    let fixture = Fixture::new();
    let digest = Digest::of(b"wasm");
    fixture.store(digest, b"some code");
    let path = fixture.code(digest);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"EVIL", 0).unwrap();
    assert!(fixture.cache.get(&digest).unwrap().is_none());
    assert!(!path.exists());
}

#[test]
fn code_without_a_seal_is_not_there() {
    let fixture = Fixture::new();
    let digest = Digest::of(b"wasm");
    fixture.store(digest, b"code");
    for seal in [&b""[..], b"slipway code 1\nlength 4\n", &[0xff; 9]] {
        fs::write(fixture.path(&format!("{digest}.seal")), seal).unwrap();
        assert!(fixture.cache.get(&digest).unwrap().is_none());
    }
}

#[test]
fn code_of_an_earlier_boot_is_compared_once() {
    let fixture = Fixture::new();
    let digest = Digest::of(b"wasm");
    fixture.store(digest, b"code");
    let seal = fixture.path(&format!("{digest}.seal"));
    let sealed = fs::read_to_string(&seal).unwrap();
    let (kept, _) = sealed.split_once("checked").unwrap();
    fs::write(&seal, format!("{kept}checked another-boot 1:2:3.4:5.6\n")).unwrap();
    assert!(fixture.cache.get(&digest).unwrap().is_some());
    assert_eq!(fs::read_to_string(&seal).unwrap(), sealed);
}

#[test]
fn foreign_code_is_never_opened() {
    let fixture = Fixture::new();
    let digest = Digest::of(b"wasm");
    let path = fixture.code(digest);

    fixture.store(digest, b"code");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(
        fixture.cache.get(&digest).unwrap().is_none(),
        "writable by others"
    );

    fixture.store(digest, b"code");
    let elsewhere = fixture.root.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert!(fixture.cache.get(&digest).unwrap().is_none(), "a link");

    if rustix::process::geteuid().is_root() {
        fixture.store(digest, b"code");
        chown(&path, Some(12_345), None).unwrap();
        assert!(
            fixture.cache.get(&digest).unwrap().is_none(),
            "another owner"
        );
    }
}

#[test]
fn long_files_are_left_to_a_patient_caller() {
    let fixture = Fixture::new();
    let module = fixture.module(b"");
    let path = fixture.root.path().join("module.wasm");
    let length = INLINE_LIMIT + 1;
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(length)
        .unwrap();
    let digest = Digest::of_file(&module).unwrap();
    fixture.store(digest, b"code");
    assert!(fixture.cache.find(&module, None).unwrap().is_none());
    let patient = Cache::open(&fixture.root.path().join("cache"))
        .unwrap()
        .patient();
    assert!(patient.find(&module, None).unwrap().is_some());
}

#[test]
fn one_compiler_at_a_time() {
    let fixture = Fixture::new();
    let root = fixture.root.path().join("cache");
    let lock = fixture.cache.lock().unwrap();
    let digest = Digest::of(b"wasm");
    let second = std::thread::spawn(move || {
        let cache = Cache::open(&root).unwrap();
        let _lock = cache.lock().unwrap();
        cache.get(&digest).unwrap().is_some()
    });
    let staging = lock.stage(digest).unwrap();
    staging.file().write_all(b"code").unwrap();
    staging.commit().unwrap();
    drop(lock);
    assert!(
        second.join().unwrap(),
        "what the first one made is seen by the second"
    );
}

#[test]
fn the_key_names_the_directory() {
    let fixture = Fixture::new();
    assert_eq!(*fixture.cache.key(), Key::host());
    assert!(Path::new(&fixture.path("")).is_dir());
}
