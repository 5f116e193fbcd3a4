//! Install then uninstall is byte-identical, whatever the configuration looked like.
//!
//! Here the way back is the one without a journal (`withdraw`), which has only the text to go by; with a journal it is
//! the kept bytes themselves.

use std::path::Path;

use proptest::prelude::*;
use slipway_node_installer::containerd::document;
use slipway_node_installer::containerd::imports::Source;
use slipway_node_installer::containerd::rewrite::withdraw;

use crate::golden::{CONFIG, plan_for};

/// A configuration of version 2 or 3 as people write them: comments, blank lines, indentation, quotes, foreign
/// runtimes, other plugins, imports.
fn configuration() -> impl Strategy<Value = (String, (u32, u32))> {
    let runtime = prop_oneof![Just("runc"), Just("crun"), Just("kata"), Just("nvidia")];
    let noise = prop_oneof![
        Just(""),
        Just("# a comment\n"),
        Just("\n\n"),
        Just("  # indented, with \"quotes\"\n"),
        Just("[metrics]\n  address = \"127.0.0.1:1338\"   # keep\n"),
        Just("[debug]\nlevel = 'info'\n"),
        Just("[plugins.'io.containerd.gc.v1.scheduler']\npause_threshold = 0.02\n"),
    ];
    let versions = prop_oneof![
        Just((2, (1, 7))),
        Just((2, (1, 6))),
        Just((2, (2, 1))),
        Just((3, (2, 2)))
    ];
    (
        versions,
        proptest::collection::btree_set(runtime, 0..4),
        proptest::collection::vec(noise, 4),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |((schema, containerd), runtimes, noise, options, newline)| {
                let plugin = if schema == 2 {
                    "io.containerd.grpc.v1.cri"
                } else {
                    "io.containerd.cri.v1.runtime"
                };
                let mut seen = std::collections::BTreeSet::new();
                // A table can stand in a document once.
                let mut once = |text: &'static str| {
                    if text.starts_with('[') && !seen.insert(text) {
                        ""
                    } else {
                        text
                    }
                };
                let mut text = format!(
                    "{}version = {schema}\n",
                    if noise[0].starts_with('[') {
                        ""
                    } else {
                        noise[0]
                    }
                );
                text.push_str(once(noise[1]));
                for name in &runtimes {
                    text.push_str(&format!(
                        "[plugins.\"{plugin}\".containerd.runtimes.{name}]\n"
                    ));
                    text.push_str("  runtime_type = \"io.containerd.runc.v2\" # why\n");
                    if options {
                        text.push_str(&format!(
                            "  [plugins.\"{plugin}\".containerd.runtimes.{name}.options]\n"
                        ));
                        text.push_str("    SystemdCgroup = true\n");
                    }
                }
                text.push_str(once(noise[2]));
                text.push_str(once(noise[3]));
                if !newline && text.ends_with('\n') {
                    text.pop();
                }
                (text, containerd)
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_added_can_be_taken_out_again((text, version) in configuration()) {
        let sources = [Source { path: CONFIG.into(), text: text.clone() }];
        let handlers = ["wasmtime", "spin"];
        let plan = plan_for(version, &sources, &handlers);
        for file in &plan.files {
            document::parse(&file.path, &file.after).unwrap();
            let back = withdraw(&file.path, &file.after, Path::new("/opt/slipway"), &plan.additions).unwrap();
            match &file.base {
                // A file may end without a newline; a table after it brings one.
                Some(base) => prop_assert_eq!(back.trim_end_matches('\n'), base.trim_end_matches('\n')),
                None => prop_assert!(!back.contains("/opt/slipway")),
            }
        }
    }

    #[test]
    fn parsers_never_panic(text in "\\PC*", pattern in "\\PC{0,20}", name in "\\PC{0,20}") {
        let _ = document::parse(Path::new(CONFIG), &text);
        let _ = slipway_node_installer::containerd::dump::Dump::parse(&text);
        let _ = slipway_node_installer::containerd::version::Version::parse(&text);
        let _ = slipway_node_installer::containerd::imports::matches(&pattern, &name);
        let _ = withdraw(Path::new(CONFIG), &text, Path::new("/opt/slipway"), &Default::default());
    }
}
