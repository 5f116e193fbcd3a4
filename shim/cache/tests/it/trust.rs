//! What is damaged or somebody else's is never opened.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};

use slipway_shim_cache::Digest;

use crate::fixture::Fixture;

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

    fixture.store(digest, b"code");
    fs::hard_link(&path, fixture.root.path().join("second-name")).unwrap();
    assert!(
        fixture.cache.get(&digest).unwrap().is_none(),
        "a second name"
    );
    assert!(!path.exists());

    fixture.store(digest, b"code");
    let seal = fixture.path(&format!("{digest}.seal"));
    fs::set_permissions(&seal, fs::Permissions::from_mode(0o622)).unwrap();
    assert!(
        fixture.cache.get(&digest).unwrap().is_none(),
        "a seal that is writable by others"
    );

    if rustix::process::geteuid().is_root() {
        fixture.store(digest, b"code");
        chown(&path, Some(12_345), None).unwrap();
        assert!(
            fixture.cache.get(&digest).unwrap().is_none(),
            "another owner"
        );
    }
}
