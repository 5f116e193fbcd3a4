//! What a shim's address serves: any bytes are refused, or become plain files in the one folder they may be in.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use slipway_node_installer::fetch::unpack;

fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir().expect("a folder");
    let (download, into) = (dir.path().join("download"), dir.path().join("into"));
    fs::create_dir(&into).expect("a folder in it");
    fs::write(&download, bytes).expect("a file in it");
    let result = unpack(&download, "shim", &into, 1024 * 1024);
    let mut size = 0;
    for entry in fs::read_dir(&into).expect("the folder is there") {
        let meta = entry
            .expect("an entry")
            .path()
            .symlink_metadata()
            .expect("its kind");
        assert!(meta.is_file());
        size += meta.len();
    }
    assert!(size <= 1024 * 1024);
    if result.is_ok() {
        assert!(into.join("shim").is_file());
    }
    let beside = fs::read_dir(dir.path())
        .expect("the folder is there")
        .count();
    assert!(beside <= 2, "something was written outside");
});
