//! What is found, and by what.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use slipway_shim_cache::{Cache, Digest, INLINE_LIMIT, Key, Namespace};

use crate::fixture::{Fixture, text};

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
