//! What the watcher tells of a node: what is gone of ours, and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use slipway_node_installer::drift::{Drift, Watch};
use slipway_node_installer::payload::{INSTALLER, SHIM, source};
use slipway_node_installer::spec::Leftovers;

use crate::fake::{DROP_IN, Node, ROOT, shim};
use crate::golden::CONFIG;

const V1: &str = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc] # mine\n  runtime_type = \"io.containerd.runc.v2\"\n";

/// A node with the shim and its binaries, and the folder these are in.
fn installed(version: (u32, u32), root_file: &str) -> (Node, PathBuf) {
    let mut node = Node::with(version, root_file);
    let base = node.root.local(Path::new("/opt/slipway"));
    let folder = base.join("new");
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in [(SHIM, "#!/bin/sh\n"), ("slipway-worker", "worker")] {
        write(&folder.join(name), text);
    }
    let digest = source::read(&folder, SHIM).unwrap().digest;
    write(&folder.join(INSTALLER), "the installer");
    let folder = {
        let named = base.join(&digest);
        fs::rename(folder, &named).unwrap();
        named
    };
    let shims = [(
        "slipway".to_owned(),
        shim(&format!("{digest}/{SHIM}"), &["wasmtime"]),
    )];
    let transaction = node
        .transaction("install", shims.into(), Leftovers::Keep)
        .unwrap();
    node.with_engine(0, |engine| engine.run(transaction))
        .0
        .unwrap();
    (node, folder)
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn edit(node: &Node, path: &str, change: impl FnOnce(String) -> String) {
    let path = node.root.local(Path::new(path));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, change(text)).unwrap();
}

/// What is told after `change`, if the watcher looked before it; it must be told by the second look.
fn told(node: &Node, change: impl FnOnce()) -> Option<Drift> {
    let mut watch = Watch::new(&node.root, &node.journal);
    assert_eq!(watch.look().unwrap(), None);
    assert_eq!(watch.look().unwrap(), None, "as it was installed");
    change();
    assert_eq!(watch.look().unwrap(), None, "one look alone tells nothing");
    watch.look().unwrap()
}

fn assert_says(drift: &Drift, start: &str) {
    assert!(drift.message.starts_with(start), "{}", drift.message);
}

#[test]
fn a_configuration_without_our_tables_is_told() {
    type Change = fn(&Node);
    let drop_in: &[(Change, &str)] = &[
        (
            |node| fs::remove_file(node.root.local(Path::new(DROP_IN))).unwrap(),
            "/etc/containerd/conf.d/99-slipway.toml is gone: after its next restart the container runtime would not serve wasmtime",
        ),
        (
            |node| edit(node, DROP_IN, |_| "version = 3\n".to_owned()),
            "/etc/containerd/conf.d/99-slipway.toml has changed",
        ),
        (
            |node| {
                edit(node, DROP_IN, |text| {
                    text.replace("/opt/slipway/", "/opt/other/")
                });
            },
            "/etc/containerd/conf.d/99-slipway.toml has changed",
        ),
        // Written anew by who writes it, without the import.
        (
            |node| edit(node, CONFIG, |_| ROOT.to_owned()),
            "/etc/containerd/config.toml has changed",
        ),
        (
            |node| fs::remove_file(node.root.local(Path::new(CONFIG))).unwrap(),
            "/etc/containerd/config.toml is gone",
        ),
    ];
    for (change, says) in drop_in {
        let (node, _) = installed((2, 4), ROOT);
        let drift = told(&node, || change(&node)).expect(says);
        assert_eq!(drift.handlers, ["wasmtime"]);
        assert_says(&drift, says);
    }
    let (node, _) = installed((1, 7), V1);
    let drift = told(&node, || edit(&node, CONFIG, |_| V1.to_owned())).unwrap();
    assert_says(&drift, "/etc/containerd/config.toml has changed");
}

#[test]
fn a_root_file_that_was_never_ours_is_told_too() {
    let imports = "version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n";
    let (node, _) = installed((2, 4), imports);
    let files = node.journal.installed().unwrap().unwrap().files;
    assert_eq!(files.len(), 1, "the drop-in alone is ours");
    let drift = told(&node, || edit(&node, CONFIG, |_| ROOT.to_owned())).unwrap();
    assert_says(&drift, "/etc/containerd/config.toml has changed");
}

#[test]
fn other_binaries_are_told() {
    type Change = fn(&Path);
    let cases: &[(Change, &str)] = &[
        (
            |folder| write(&folder.join(SHIM), "#!/bin/false\n"),
            "containerd-shim-slipway-v1 is not what was installed",
        ),
        (
            |folder| write(&folder.join("slipway-worker"), "other"),
            "slipway-worker is not what was installed",
        ),
        (
            |folder| fs::remove_file(folder.join("slipway-worker")).unwrap(),
            "slipway-worker is not what was installed",
        ),
        (
            |folder| write(&folder.join("more"), ""),
            "more is not what was installed",
        ),
        (
            |folder| fs::remove_file(folder.join(SHIM)).unwrap(),
            "containerd-shim-slipway-v1 is gone",
        ),
        (
            |folder| fs::remove_dir_all(folder).unwrap(),
            "containerd-shim-slipway-v1 is gone",
        ),
        (
            |folder| {
                fs::set_permissions(folder.join(SHIM), fs::Permissions::from_mode(0o644)).unwrap();
            },
            "containerd-shim-slipway-v1 is not what was installed",
        ),
    ];
    for (change, says) in cases {
        let (node, folder) = installed((2, 4), ROOT);
        let drift = told(&node, || change(&folder)).expect(says);
        assert_eq!(drift.handlers, ["wasmtime"]);
        assert!(
            drift.message.starts_with("/opt/slipway/") && drift.message.ends_with(says),
            "{}",
            drift.message
        );
    }
}

#[test]
fn what_others_do_beside_it_is_not_told() {
    type Change = fn(&Node, &Path);
    let cases: &[Change] = &[
        |node, _| {
            edit(node, CONFIG, |text| {
                format!("{text}\n[debug]\nlevel = \"debug\"\n")
            });
        },
        |node, _| {
            edit(node, DROP_IN, |text| {
                format!("{text}\n[debug]\nlevel = \"debug\"\n")
            });
        },
        // The containerd that runs has not read it, and what it will hold is not known.
        |node, _| edit(node, CONFIG, |text| format!("{text}\n[broken\n")),
        |_, folder| write(&folder.join(SHIM), "#!/bin/sh\n"),
        |_, folder| write(&folder.join(INSTALLER), "another version's"),
    ];
    for (at, change) in cases.iter().enumerate() {
        let (node, folder) = installed((2, 4), ROOT);
        assert_eq!(told(&node, || change(&node, &folder)), None, "case {at}");
    }
}

#[test]
fn a_watcher_that_comes_late_tells_what_the_journal_shows() {
    let (node, folder) = installed((2, 4), ROOT);
    // Not what was installed, and nobody saw it become so.
    write(&folder.join(SHIM), "#!/bin/false\n");
    let late = || {
        let mut watch = Watch::new(&node.root, &node.journal);
        assert_eq!(watch.look().unwrap(), None);
        watch.look().unwrap().unwrap().message
    };
    assert!(late().contains("is not what was installed"));
    fs::remove_file(folder.join(SHIM)).unwrap();
    assert!(late().contains("is gone"));

    let (node, _) = installed((2, 4), ROOT);
    fs::remove_file(node.root.local(Path::new(DROP_IN))).unwrap();
    let mut watch = Watch::new(&node.root, &node.journal);
    assert_eq!(watch.look().unwrap(), None);
    assert!(watch.look().unwrap().unwrap().message.contains("is gone"));
}

#[test]
fn nothing_is_told_of_files_in_motion() {
    let (node, _) = installed((2, 4), ROOT);
    let mut transaction = node.uninstall();
    let mut watch = Watch::new(&node.root, &node.journal);
    assert_eq!(watch.look().unwrap(), None);
    fs::remove_file(node.root.local(Path::new(DROP_IN))).unwrap();
    assert_eq!(watch.look().unwrap(), None);
    transaction.id = "2".to_owned();
    node.journal.write_transaction(&transaction).unwrap();
    assert_eq!((watch.look().unwrap(), watch.look().unwrap()), (None, None));
    node.journal.close().unwrap();
    assert_eq!(
        watch.look().unwrap(),
        None,
        "what was suspected before is forgotten"
    );
    assert!(watch.look().unwrap().is_some());
    node.journal.remove_installed().unwrap();
    assert_eq!(
        (watch.look().unwrap(), watch.look().unwrap()),
        (None, None),
        "nothing is installed"
    );
}
