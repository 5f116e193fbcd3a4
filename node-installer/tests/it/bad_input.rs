//! Nodes on which nothing can be done: nothing is changed, and the reason is told.
//!
//! File systems that are full, read-only or `noexec` are made in a mount namespace of their own, in which this test
//! program runs one of its tests again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use slipway_node_installer::failure::Reason as _;
use slipway_node_installer::host::{HostRoot, files, mounts};
use slipway_node_installer::journal::Journal;
use slipway_node_installer::payload::{place, source};
use slipway_node_installer::report::Outcome;
use slipway_node_installer::spec::Leftovers;

use crate::fake::{Node, ROOT, shim};
use crate::golden::CONFIG;

const FOLDER: &str = "SLIPWAY_TEST_FOLDER";

/// Runs a test of this program again on a file system mounted with options, and returns `None`; there, the folder that
/// it is mounted on.
fn on_file_system(test: &str, options: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Some(folder.into());
    }
    let dir = tempfile::tempdir().unwrap();
    let mount =
        "mount -t tmpfs -o \"$1\" none \"$2\" && exec \"$3\" --exact --nocapture \"bad_input::$4\"";
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let output = command
        .args(["--mount", "sh", "-c", mount, "sh", options])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(FOLDER, dir.path())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && words.contains("1 passed"),
        "{words}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    None
}

fn refused_root(folder: &Path) -> &'static str {
    let root = HostRoot::new(Path::new("/")).unwrap();
    mounts::check_install_root(&root, &folder.join("not/there/yet"))
        .unwrap_err()
        .reason()
}

#[test]
fn a_read_only_install_root() {
    if let Some(folder) = on_file_system("a_read_only_install_root", "ro") {
        assert_eq!(refused_root(&folder), "InstallRootReadOnly");
    }
}

#[test]
fn a_noexec_install_root() {
    if let Some(folder) = on_file_system("a_noexec_install_root", "noexec") {
        assert_eq!(refused_root(&folder), "InstallRootNoExec");
    }
}

#[test]
fn a_full_disk_below_the_install_root() {
    let Some(folder) = on_file_system("a_full_disk_below_the_install_root", "size=256k") else {
        return;
    };
    // This program, which goes beside a payload, is larger than the file system.
    let payload = tempfile::tempdir().unwrap();
    let path = payload.path().join("containerd-shim-x-v1");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let payload = source::read(payload.path(), "containerd-shim-x-v1").unwrap();
    let root = HostRoot::new(&folder).unwrap();
    let error = place::place(&root, Path::new("/opt/slipway"), &payload).unwrap_err();
    assert_eq!(error.reason(), "DiskFull", "{error}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_full_disk_below_the_journal() {
    let Some(folder) = on_file_system("a_full_disk_below_the_journal", "size=64k") else {
        return;
    };
    let mut node = Node::with((2, 4), ROOT);
    let before = node.configuration();
    fs::create_dir_all(folder.join("var/lib")).unwrap();
    node.journal = Journal::of(&HostRoot::new(&folder).unwrap()).unwrap();
    fs::write(folder.join("filler"), vec![0; 60 * 1024]).unwrap();
    let mut many: Vec<String> = (0..16)
        .map(|n| format!("{}-{n}", "handler".repeat(8)))
        .collect();
    many.sort();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let shims = [(
        "slipway".to_owned(),
        shim("0123/containerd-shim-slipway-v1", &names),
    )];
    let failure = node
        .transaction("install", shims.into(), Leftovers::Keep)
        .unwrap_err();
    assert_eq!(
        (failure.outcome, failure.reason),
        (Outcome::Refused, "DiskFull"),
        "{}",
        failure.message
    );
    assert_eq!(node.configuration(), before);
}

#[test]
fn a_full_disk_below_a_download() {
    let Some(folder) = on_file_system("a_full_disk_below_a_download", "size=256k") else {
        return;
    };
    let error = crate::fetch::download_of(&vec![0x7f; 1024 * 1024], &folder).unwrap_err();
    assert_eq!(error.reason(), "DiskFull", "{error}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_configuration_that_is_a_mount_of_its_own() {
    let test = "a_configuration_that_is_a_mount_of_its_own";
    let Some(folder) = on_file_system(test, "size=64k") else {
        return;
    };
    // As a container that was given the one file has it: a rename cannot replace it.
    let config = folder.join("config.toml");
    fs::write(&config, "version = 2\n").unwrap();
    files::check_replaceable(&config).unwrap();
    let mounted = Command::new("mount")
        .arg("--bind")
        .args([&config, &config])
        .status();
    assert!(mounted.unwrap().success());
    let error = files::check_replaceable(&config).unwrap_err();
    assert_eq!(error.reason(), "ConfigReadOnly");
    assert!(
        error.to_string().contains("it is a mount of its own"),
        "{error}"
    );
    let left: Vec<_> = fs::read_dir(&folder).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is left");
}

#[test]
fn a_configuration_that_is_a_link_stays_one() {
    let text = "version = 2 # mine\n";
    let mut node = Node::with((1, 7), "");
    let link = node.root.local(Path::new(CONFIG));
    let target = Path::new("/etc/containerd/managed/real.toml");
    let file = link.with_file_name("managed/real.toml");
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(target, &link).unwrap();

    let install = node.install();
    node.with_engine(0, |engine| engine.run(install)).0.unwrap();
    assert!(node.serves());
    assert_eq!(fs::read_link(&link).unwrap(), target);
    assert_ne!(fs::read_to_string(&file).unwrap(), text);
    let uninstall = node.uninstall();
    node.with_engine(0, |engine| engine.run(uninstall))
        .0
        .unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), target);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_configuration_that_is_no_text() {
    let node = Node::with((2, 4), ROOT);
    let config = node.root.local(Path::new(CONFIG));
    // UTF-16, as some editors save it.
    let bytes: Vec<u8> = "\u{feff}version = 3\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(&config, &bytes).unwrap();
    let shims = [(
        "slipway".to_owned(),
        shim("0123/containerd-shim-slipway-v1", &["wasmtime"]),
    )];
    let failure = node
        .transaction("install", shims.into(), Leftovers::Keep)
        .unwrap_err();
    assert_eq!(
        (failure.outcome, failure.reason),
        (Outcome::Refused, "ConfigUnparsable")
    );
    assert_eq!(
        failure.message,
        "/etc/containerd/config.toml is not UTF-8: byte 0 does not belong there"
    );
    assert_eq!(fs::read(&config).unwrap(), bytes);
}

#[test]
fn a_systemd_that_cannot_be_reached() {
    let mut node = Node::new();
    let before = node.configuration();
    node.daemon.unreachable = true;
    let install = node.install();
    let (result, _) = node.with_engine(0, |engine| engine.run(install));
    let failure = result.unwrap_err();
    assert_eq!(
        (failure.outcome, failure.reason),
        (Outcome::Refused, "SystemdUnreachable")
    );
    assert_eq!(node.configuration(), before);
    assert!(node.journal.open_transaction().unwrap().is_none());
    assert_eq!(node.daemon.restarts, 0);
}
