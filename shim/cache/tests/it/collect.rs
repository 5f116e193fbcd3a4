//! Making room while the cache is used.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use slipway_shim_cache::{Cache, Digest};

use crate::fixture::{Fixture, text};

#[test]
fn code_that_goes_while_it_is_open_stays_whole() {
    let fixture = Fixture::new();
    let digest = Digest::of(b"wasm");
    fixture.store(digest, b"code");
    let open = fixture.cache.get(&digest).unwrap().unwrap();
    assert!(fixture.cache.lock().unwrap().make_room().unwrap());
    assert!(fixture.cache.get(&digest).unwrap().is_none());
    assert_eq!(text(open), "code");
}

#[test]
fn readers_see_whole_code_or_none_while_a_compiler_stores_and_removes() {
    let fixture = Fixture::new();
    let digest = Digest::of(b"wasm");
    let root = fixture.root.path().join("cache");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let read = || {
            let cache = Cache::open(&root).unwrap();
            while !done.load(Ordering::Relaxed) {
                if let Some(code) = cache.get(&digest).unwrap() {
                    assert_eq!(text(code), "some code");
                }
            }
        };
        let readers = [scope.spawn(read), scope.spawn(read)];
        for _ in 0..50 {
            fixture.store(digest, b"some code");
            fixture.cache.lock().unwrap().make_room().unwrap();
        }
        fixture.store(digest, b"some code");
        assert!(fixture.cache.get(&digest).unwrap().is_some());
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn a_small_cache_keeps_what_is_new() {
    let fixture = Fixture::new();
    let small = Cache::open(&fixture.root.path().join("cache")).unwrap();
    let small = small.bounded(150);
    let store = |name: &[u8]| {
        let lock = small.lock().unwrap();
        let staging = lock.stage(Digest::of(name)).unwrap();
        staging.file().write_all(&[0; 100]).unwrap();
        staging.commit().unwrap();
        lock.make_fit(&Digest::of(name)).unwrap();
    };
    store(b"old");
    store(b"new");
    let left = [b"old", b"new"].map(|name| small.get(&Digest::of(name)).unwrap().is_some());
    assert_eq!(left, [false, true]);
}

#[test]
fn a_full_disk_is_said_so_and_leaves_nothing_behind() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let disk = Disk::new();
    let cache = Cache::open(&disk.0.path().join("cache")).unwrap();
    let lock = cache.lock().unwrap();
    let staging = lock.stage(Digest::of(b"wasm")).unwrap();
    let error = staging.file().write_all(&[1; 1 << 20]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    // Full to the last byte now, so that nothing can be written beside it either.
    let sentence = cache
        .remember(
            cache
                .identify(
                    &std::fs::File::open("/bin/sh").unwrap(),
                    slipway_shim_cache::Namespace::new("layers"),
                )
                .unwrap()
                .unwrap(),
            &Digest::of(b"wasm"),
        )
        .unwrap_err()
        .to_string();
    assert!(
        sentence.contains("No space left on device")
            && sentence.ends_with("; free some space on the node's disk"),
        "{sentence}"
    );
    drop(staging);
    let left = std::fs::read_dir(disk.0.path().join("cache").join(cache.key().as_str())).unwrap();
    assert_eq!(left.count(), 0);
}

/// A file system of 128 KiB.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k,mode=700", "tmpfs"]));
        disk
    }

    fn run(&self, command: &mut Command) {
        let path: &Path = self.0.path();
        assert!(command.arg(path).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run(&mut Command::new("umount"));
    }
}
