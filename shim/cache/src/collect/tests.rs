use std::io::Write;

use rustix::fs::{Timespec, Timestamps, utimensat};

use super::*;

fn store(cache: &Cache, module: &[u8]) -> Digest {
    let module = Digest::of(module);
    let lock = cache.lock().unwrap();
    let staging = lock.stage(module).unwrap();
    staging.file().write_all(&[0; 100]).unwrap();
    staging.commit().unwrap();
    module
}

fn date(directory: &OwnedFd, name: &str, seconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(directory, name, &times, AtFlags::empty()).unwrap();
}

#[test]
fn the_least_recently_used_goes_and_what_is_new_stays() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::open(root.path()).unwrap();
    let modules = [b"one", b"two", b"new"].map(|name| store(&cache, name));
    for (age, module) in [(30, &modules[2]), (20, &modules[1]), (10, &modules[0])] {
        let (code, seal) = names(module);
        date(&cache.entries, &code, 1_000_000 - age);
        date(&cache.entries, &seal, 1_000_000 - age);
    }
    // Opened since, so it is not the oldest any more; dates are part of what a seal vouches for.
    assert!(cache.get(&modules[1]).unwrap().is_some());
    assert_eq!(cache.collect(250, Some(&modules[2])).unwrap(), 100);
    let left = modules.map(|module| cache.get(&module).unwrap().is_some());
    assert_eq!(left, [false, true, true]);
}

#[test]
fn what_is_used_is_touched_but_not_each_time() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::open(root.path()).unwrap();
    let module = store(&cache, b"wasm");
    let (_, seal) = names(&module);
    let touched = || look(&cache.entries, &seal).unwrap().unwrap().st_mtime;
    let first = touched();
    date(&cache.entries, &seal, first - 60);
    assert!(cache.get(&module).unwrap().is_some());
    assert_eq!(touched(), first - 60);
    date(&cache.entries, &seal, first - 7200);
    assert!(cache.get(&module).unwrap().is_some());
    assert!(touched() >= first);
}

#[test]
fn another_engine_s_code_goes_once_it_is_stale_with_its_directory() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::open(root.path()).unwrap();
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let days_ago = |days: i64| i64::try_from(seconds).unwrap() - days * 24 * 3600;
    for (key, age) in [("wasmtime-1", 13), ("wasmtime-0", 15)] {
        let directory = trust::subdirectory(&cache.root, key).unwrap();
        std::fs::write(root.path().join(key).join("a.cwasm"), [0; 100]).unwrap();
        date(&directory, "a.cwasm", days_ago(age));
        date(&cache.root, key, days_ago(age));
    }
    assert_eq!(cache.collect(u64::MAX, None).unwrap(), 100);
    assert!(root.path().join("wasmtime-1/a.cwasm").exists());
    assert!(!root.path().join("wasmtime-0").exists());
    assert!(root.path().join(cache.key().as_str()).exists());
    assert_eq!(
        cache.collect(50, None).unwrap(),
        100,
        "the limit is for all"
    );
}

#[test]
fn an_empty_directory_stays_until_it_is_stale_and_others_are_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::open(root.path()).unwrap();
    // Of a compiler that has its turn next, of one that is gone, and the file system's own.
    for name in ["wasmtime-1", "wasmtime-0", "lost+found"] {
        drop(trust::subdirectory(&cache.root, name).unwrap());
    }
    for name in ["wasmtime-0", "lost+found"] {
        date(&cache.root, name, 1000);
    }
    assert_eq!(cache.collect(0, None).unwrap(), 0);
    let left = ["wasmtime-1", "wasmtime-0", "lost+found"].map(|name| root.path().join(name));
    assert_eq!(left.map(|path| path.exists()), [true, false, true]);
}

#[test]
fn opening_a_stale_engine_s_cache_keeps_its_directory() {
    let root = tempfile::tempdir().unwrap();
    let key = Cache::open(root.path()).unwrap().key().to_string();
    let directory = trust::directory(root.path()).unwrap();
    date(&directory, &key, 1000);
    drop(Cache::open(root.path()).unwrap());
    assert_eq!(
        evict(&directory, "wasmtime-1", 0, None, SystemTime::now()).unwrap(),
        0
    );
    assert!(root.path().join(key).exists());
}

#[test]
fn a_code_directory_that_is_a_link_is_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("a.cwasm"), [0; 100]).unwrap();
    let cache = Cache::open(root.path()).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), root.path().join("wasmtime-0")).unwrap();
    assert_eq!(cache.collect(0, None).unwrap(), 0);
    assert!(elsewhere.path().join("a.cwasm").exists());
}

#[test]
fn the_older_half_of_too_many_identities_is_forgotten() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::open(root.path()).unwrap();
    for n in 0..6 {
        let name = format!("identity-{n}");
        std::fs::write(root.path().join("identities").join(&name), "x").unwrap();
        date(&cache.identities, &name, 1000 + n);
    }
    forget(&cache.identities, 6).unwrap();
    assert_eq!(files(&cache.identities).unwrap().len(), 6);
    forget(&cache.identities, 4).unwrap();
    let mut left = files(&cache.identities).unwrap();
    left.sort();
    assert_eq!(left, ["identity-4", "identity-5"]);
}

#[test]
fn half_goes_when_the_disk_is_full() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::open(root.path()).unwrap();
    assert!(!cache.lock().unwrap().make_room().unwrap());
    for module in [b"1", b"2", b"3", b"4"] {
        store(&cache, module);
    }
    assert!(cache.lock().unwrap().make_room().unwrap());
    assert_eq!(used(&cache.root).unwrap(), 200);
}

#[test]
fn the_bound_is_a_part_of_the_disk_unless_it_is_set() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::open(root.path()).unwrap();
    let space = cache.space().unwrap();
    assert!(space > 0 && space <= SPACE_LIMIT);
    assert_eq!(cache.bounded(7).space().unwrap(), 7);
}
