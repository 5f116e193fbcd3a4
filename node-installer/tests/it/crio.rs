//! A crun with a Wasm engine as a handler of CRI-O: what is written, that every byte is given back, and that a crash at any
//! step is put right. The files are judged by a model of CRI-O; nothing of it was run (`docs/adr/0009`).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use slipway_node_installer::containerd::schema::Schema;
use slipway_node_installer::containerd::version::Version;
use slipway_node_installer::containerd::{document, tables};
use slipway_node_installer::crio::sources;

use crate::cycle::transactions::{Shims, crun};
use crate::cycle::{Cycle, Meaning, Reader};
use crate::nodes::Kind;
use crate::nodes::crio::KINDS;

const DROP_IN: &str = "/etc/crio/crio.conf.d/99-slipway.toml";

/// A model of how CRI-O reads its files (`UpdateFromPath` and `ValidateRuntimes`, `pkg/config`@v1.34.0): a table replaces
/// one of its name, a runtime of an unknown type is left out, and the default runtime must be there.
fn modelled(node: &Cycle<'_>) -> Meaning {
    let folder = node.drop_ins.as_ref().unwrap();
    let sources = sources::load(&node.root, &node.path(node.kind.config), folder)
        .map_err(|error| error.to_string())?;
    let mut runtimes = BTreeMap::from([("crun".to_owned(), "crun".to_owned())]);
    let mut default = "crun".to_owned();
    for source in sources {
        let parsed =
            document::parse(&source.path, &source.text).map_err(|error| error.to_string())?;
        let runtime = parsed.get("crio").and_then(|crio| crio.get("runtime"));
        if let Some(name) = runtime.and_then(|runtime| runtime.get("default_runtime")?.as_str()) {
            name.clone_into(&mut default);
        }
        let found = tables::runtimes(&parsed, Schema::CriO);
        for (name, item) in found.iter().flat_map(|table| table.iter()) {
            let kind = item.get("runtime_type").and_then(|kind| kind.as_str());
            if matches!(kind, None | Some("oci" | "vm" | "pod")) {
                let program = tables::runtime_type(item).unwrap_or(name);
                runtimes.insert(name.to_owned(), program.to_owned());
            }
        }
    }
    if runtimes.contains_key(&default) {
        Ok(runtimes)
    } else {
        Err(format!(
            "no runtime entry table [crio.runtime.runtimes.{default}]"
        ))
    }
}

fn node(kind: &Kind) -> Cycle<'_> {
    let (major, minor) = kind.versions[0];
    let version = Version {
        major,
        minor,
        patch: 0,
    };
    Cycle::new(kind, version, Reader::Model(modelled))
}

fn shims(names: &[&str]) -> Shims {
    [("crun".to_owned(), crun(names))].into()
}

#[test]
fn what_is_written_for_cri_o() {
    let written: String = KINDS
        .iter()
        .map(|kind| {
            let node = node(kind);
            let (configuration, _) = node.configuration(shims(&["wasmedge", "wasm"])).unwrap();
            let files = configuration.targets.iter().map(|file| {
                let after = file.after.as_deref().unwrap();
                format!("=== {}\n{after}", file.path.display())
            });
            format!("##### {}\n{}\n", kind.name, files.collect::<String>())
        })
        .collect();
    insta::assert_snapshot!(written);
}

#[test]
fn an_uninstall_gives_back_every_byte_beside_drop_ins_of_others() {
    for kind in KINDS {
        let mut node = node(kind);
        let (before, meaning) = (node.tree(), node.meaning().unwrap());
        for names in [&["wasmedge", "wasm"][..], &["wasmedge"]] {
            node.become_node(shims(names), 0).unwrap();
            let mut served = node.meaning().unwrap();
            for name in names {
                assert_eq!(served.remove(*name).as_deref(), Some("/usr/bin/crun-wasm"));
            }
            assert_eq!(served, meaning, "{}", kind.name);
        }
        node.become_node(Shims::new(), 0).unwrap();
        assert_eq!(node.tree(), before, "{}", kind.name);
    }
}

#[test]
fn a_crash_or_a_power_cut_at_any_step_is_put_right() {
    for kind in KINDS {
        for is_cut in [false, true] {
            for step in 1.. {
                let mut node = node(kind);
                let before = node.tree();
                let run = || node.become_node(shims(&["wasmedge"]), step);
                let killed = catch_unwind(AssertUnwindSafe(run)).is_err();
                if is_cut {
                    node.power_cut().unwrap();
                }
                node.recover().unwrap();
                let served = node.meaning().unwrap().contains_key("wasmedge");
                let context = format!("{} step {step}", kind.name);
                assert_eq!(
                    node.journal.installed().unwrap().is_some(),
                    served,
                    "{context}"
                );
                if !served {
                    assert_eq!(node.tree(), before, "{context}");
                }
                if !killed {
                    assert!(served && step > 5, "{context}");
                    break;
                }
            }
        }
    }
}

#[test]
fn what_others_write_meanwhile_stays() {
    let mut node = node(&KINDS[1]);
    node.become_node(shims(&["wasmedge"]), 0).unwrap();
    let theirs = "[crio.runtime.runtimes.youki]\nruntime_path = \"/usr/bin/youki\"\n";
    node.write("/etc/crio/crio.conf.d/60-youki.conf", theirs);
    let ours = node.read(DROP_IN).unwrap();
    node.write(
        DROP_IN,
        &format!("{ours}\n[crio.network]\nplugin_dirs = []\n"),
    );
    node.become_node(Shims::new(), 0).unwrap();
    let left = node.read(DROP_IN).unwrap();
    assert!(
        left.contains("plugin_dirs") && !left.contains("wasmedge"),
        "{left}"
    );
    let left = node.read("/etc/crio/crio.conf.d/60-youki.conf");
    assert_eq!(left.as_deref(), Some(theirs));
    assert!(node.meaning().unwrap().contains_key("youki"));
}

#[test]
fn a_handler_or_a_file_of_somebody_else_is_refused() {
    let node = node(&KINDS[2]);
    let failure = node.configuration(shims(&["kata"])).unwrap_err();
    assert_eq!(failure.reason, "HandlerTaken");
    assert!(
        failure
            .message
            .contains("/etc/crio/crio.conf.d/50-kata.conf"),
        "{}",
        failure.message
    );
    node.write(DROP_IN, "[crio.network]\n");
    let failure = node.configuration(shims(&["wasmedge"])).unwrap_err();
    assert_eq!(failure.reason, "DropInTaken");
    assert!(node.root.local(Path::new(DROP_IN)).exists());
}
