//! Every kind of node with every version of containerd: what is written, as snapshots, and that an uninstall gives back
//! every byte, with the journal and without.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use slipway_node_installer::containerd::imports;
use slipway_node_installer::containerd::rewrite;
use slipway_node_installer::containerd::schema::Schema;
use slipway_node_installer::containerd::version::Version;
use slipway_node_installer::containerd::{document, tables};
use slipway_node_installer::detect::distribution::Distribution;

use crate::cycle::transactions::{Shims, ours};
use crate::cycle::{Cycle, INSTALL_ROOT, Meaning, Reader};
use crate::golden::SHIM;
use crate::nodes::{self, Kind};

fn version((major, minor): (u32, u32)) -> Version {
    Version {
        major,
        minor,
        patch: 9,
    }
}

/// A model of how containerd reads its files: 2.x merges sections, 1.x takes the last. The real ones judge in
/// `tests/judge`.
pub(crate) fn modelled(node: &Cycle<'_>) -> Meaning {
    let sources = imports::load(&node.root, &node.path(node.kind.config))
        .map_err(|error| error.to_string())?;
    let mut runtimes = BTreeMap::new();
    let mut default = Schema::for_new_file(node.version);
    for (at, source) in sources.iter().enumerate() {
        let parsed =
            document::parse(&source.path, &source.text).map_err(|error| error.to_string())?;
        let schema = if parsed.contains_key("version") || at == 0 {
            Schema::of(&source.path, &parsed).map_err(|error| error.to_string())?
        } else {
            default
        };
        if at == 0 {
            default = schema;
        }
        if !tables::has_section(&parsed, schema) {
            continue;
        }
        if !node.version.merges_imports() {
            runtimes.clear();
        }
        for (name, item) in tables::runtimes(&parsed, schema)
            .into_iter()
            .flat_map(|table| table.iter())
        {
            runtimes.insert(
                name.to_owned(),
                tables::runtime_type(item).unwrap_or_default().to_owned(),
            );
        }
    }
    Ok(runtimes)
}

fn shims() -> Shims {
    [("slipway".to_owned(), ours("0123", &["wasmtime", "spin"]))].into()
}

/// What is written on a kind of node, versions of the same outcome together.
fn written(kind: &Kind) -> String {
    let mut outcomes: Vec<(String, Vec<String>)> = Vec::new();
    for found in kind.versions {
        let node = Cycle::new(kind, version(*found), Reader::Model(modelled));
        let (configuration, _) = node.configuration(shims()).unwrap();
        let text: String = configuration
            .targets
            .iter()
            .map(|file| {
                let after = file.after.as_deref().unwrap_or("(removed)\n");
                format!("=== {}\n{after}", file.path.display())
            })
            .collect();
        let name = format!("{}.{}", found.0, found.1);
        match outcomes.iter_mut().find(|(other, _)| *other == text) {
            Some((_, versions)) => versions.push(name),
            None => outcomes.push((text, vec![name])),
        }
    }
    outcomes
        .into_iter()
        .map(|(text, versions)| format!("##### containerd {}\n{text}\n", versions.join(", ")))
        .collect()
}

#[test]
fn what_is_written_on_each_kind_of_node() {
    for kind in nodes::kinds() {
        let name: String = kind
            .name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '_'
                }
            })
            .collect();
        insta::with_settings!({ description => kind.name, omit_expression => true }, {
            insta::assert_snapshot!(format!("matrix__{name}"), written(kind));
        });
    }
}

#[test]
fn an_uninstall_gives_back_every_byte_on_each_kind_of_node() {
    for kind in nodes::kinds() {
        for found in kind.versions {
            let mut node = Cycle::new(kind, version(*found), Reader::Model(modelled));
            let (before, meaning) = (node.tree(), node.meaning().unwrap());
            node.install("0123", &["wasmtime", "spin"], 0).unwrap();
            let served = node.meaning().unwrap();
            assert_eq!(
                served.get("wasmtime").map(String::as_str),
                Some(SHIM),
                "{} {found:?}",
                kind.name
            );
            for (name, kind_of) in &meaning {
                assert_eq!(served.get(name), Some(kind_of), "{} {found:?}", kind.name);
            }
            // An upgrade in between, with another set of handlers.
            node.install("4567", &["wasmtime"], 0).unwrap();
            let served = node.meaning().unwrap();
            assert!(
                served["wasmtime"].contains("4567") && !served.contains_key("spin"),
                "{} {found:?}",
                kind.name
            );
            node.become_node(Shims::new(), 0).unwrap();
            assert_eq!(node.tree(), before, "{} {found:?}", kind.name);
        }
    }
}

#[test]
fn a_distributions_node_is_put_right_after_a_crash_at_any_step() {
    let distributions = nodes::kinds().filter(|kind| kind.distribution != Distribution::Generic);
    for kind in distributions {
        for step in 1.. {
            let mut node = Cycle::new(kind, version(kind.versions[0]), Reader::Model(modelled));
            let before = node.tree();
            let killed = catch_unwind(AssertUnwindSafe(|| {
                node.install("0123", &["wasmtime"], step)
            }))
            .is_err();
            node.recover().unwrap();
            let served = node.meaning().unwrap().contains_key("wasmtime");
            assert_eq!(
                node.journal.installed().unwrap().is_some(),
                served,
                "{} step {step}",
                kind.name
            );
            if !served {
                assert_eq!(node.tree(), before, "{} step {step}", kind.name);
            }
            if !killed {
                assert!(served && step > 5, "{} step {step}", kind.name);
                break;
            }
        }
    }
}

#[test]
fn without_a_journal_only_what_is_ours_goes() {
    for kind in nodes::kinds() {
        for found in kind.versions {
            let node = Cycle::new(kind, version(*found), Reader::Model(modelled));
            let (configuration, goal) = node.configuration(shims()).unwrap();
            let additions = goal.unwrap().additions;
            for file in &configuration.targets {
                let after = file.after.as_deref().unwrap();
                let back =
                    rewrite::withdraw(&file.path, after, Path::new(INSTALL_ROOT), &additions)
                        .unwrap();
                match node.read(&node.inner(&file.path)) {
                    // A file may end without a newline; a table after it brings one.
                    Some(base) => {
                        assert_eq!(back.trim_end(), base.trim_end(), "{} {found:?}", kind.name);
                    }
                    None => assert!(!back.contains(INSTALL_ROOT), "{} {found:?}", kind.name),
                }
            }
        }
    }
}
