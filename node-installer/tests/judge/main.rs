//! Real containerds as judges: whatever is done to a node's configuration, containerd accepts what is there.
//!
//! Run by `e2e/testbed/judge.sh`, which has the programs; `SLIPWAY_CONTAINERDS` is a folder with one `containerd-X.Y`
//! each. `cargo test` alone does not start it, and without the programs it fails.

#![allow(clippy::unwrap_used, reason = "test code: a panic is the failure")]
#![allow(
    clippy::redundant_closure_for_method_calls,
    reason = "a method path is less general over lifetimes"
)]

#[path = "../it/cycle.rs"]
#[allow(dead_code, reason = "tests/it uses the rest")]
mod cycle;
#[path = "../it/nodes.rs"]
#[allow(dead_code, reason = "tests/it uses the rest")]
mod nodes;
mod sequences;

use std::path::PathBuf;
use std::process::Command;

use rstest::rstest;
use slipway_node_installer::containerd::handler::Sandboxer;
use slipway_node_installer::containerd::version::Version;

use cycle::transactions::{Shims, adopted, ours};
use cycle::{Cycle, Reader};
use nodes::Kind;

/// A containerd of the test bed.
struct Real {
    binary: PathBuf,
    version: Version,
}

impl Real {
    fn new(name: &str) -> Self {
        let folder = std::env::var_os("SLIPWAY_CONTAINERDS")
            .expect("SLIPWAY_CONTAINERDS must name a folder with containerd-1.6 and others: run e2e/testbed/judge.sh");
        let binary = PathBuf::from(folder).join(format!("containerd-{name}/containerd"));
        let output = Command::new(&binary).arg("--version").output();
        let output =
            output.unwrap_or_else(|error| panic!("{} --version: {error}", binary.display()));
        let version = Version::parse(&String::from_utf8_lossy(&output.stdout)).unwrap();
        assert_eq!(
            format!("{}.{}", version.major, version.minor),
            name,
            "{}",
            binary.display()
        );
        Self { binary, version }
    }

    fn node<'k>(&self, kind: &'k Kind) -> Cycle<'k> {
        Cycle::new(kind, self.version, Reader::Real(self.binary.clone()))
    }

    /// The kinds of nodes that this version is found on.
    fn kinds(&self) -> Vec<&'static Kind> {
        let own = (self.version.major, self.version.minor);
        nodes::kinds()
            .filter(|kind| kind.versions.contains(&own))
            .collect()
    }
}

#[rstest]
fn every_kind_of_node_is_installed_upgraded_and_given_back(
    #[values("1.6", "1.7", "2.1", "2.4")] name: &str,
) {
    let real = Real::new(name);
    let mut installed = 0;
    for kind in real.kinds() {
        let mut node = real.node(kind);
        let (before, meaning) = (node.tree(), node.dump().unwrap());
        node.install("0123", &["wasmtime", "spin"], 0)
            .unwrap_or_else(|failure| panic!("{} with containerd {name}: {failure:?}", kind.name));
        installed += 1;
        let served = node.dump().unwrap();
        assert!(
            served.runtimes["spin"].runtime_type.contains("0123"),
            "{}",
            kind.name
        );
        assert_eq!(
            sequences::foreign(&served),
            sequences::foreign(&meaning),
            "{}",
            kind.name
        );
        node.install("4567", &["wasmtime"], 0).unwrap();
        let served = node.dump().unwrap();
        assert!(
            served.runtimes["wasmtime"].runtime_type.contains("4567"),
            "{}",
            kind.name
        );
        assert!(!served.runtimes.contains_key("spin"), "{}", kind.name);
        node.become_node(Shims::new(), 0).unwrap();
        assert_eq!(node.tree(), before, "{} with containerd {name}", kind.name);
    }
    assert!(
        installed > 10,
        "only {installed} kinds of nodes were installed"
    );
}

/// Options, sandboxer, annotations, local image pull and an adopted shim, as containerd itself understands them.
#[rstest]
fn handlers_say_all_that_was_asked_for(#[values("1.6", "1.7", "2.1", "2.4")] name: &str) {
    let real = Real::new(name);
    let mut pulling = 0;
    for kind in real.kinds() {
        let mut node = real.node(kind);
        let before = node.tree();
        let version = real.version;
        let mut shim = ours("0123", &["wasmtime"]);
        let options = serde_json::json!({
            "http_request_timeout": "30s", "list": [1, 2], "deep": {"on": true}, "odd key": -0.5,
        });
        let handler = &mut shim.handlers[0];
        handler.options = options.as_object().cloned().unwrap();
        if version.takes_our_sandboxes() {
            handler.sandboxer = Sandboxer::Shim;
        }
        shim.local_image_pull = true;
        let mut shims = Shims::from([
            ("slipway".to_owned(), shim),
            ("lunatic".to_owned(), adopted()),
        ]);
        // What is appended to a file of others cannot name a section that may be there already, nor one without version
        // a plugin that old versions do not know.
        let room = match node.configuration(shims.clone()) {
            Ok(_) => true,
            Err(failure) => {
                let why = &failure.message;
                assert!(why.contains("local image pull"), "{}: {why}", kind.name);
                shims.get_mut("slipway").unwrap().local_image_pull = false;
                false
            }
        };
        node.become_node(shims, 0)
            .unwrap_or_else(|failure| panic!("{} with containerd {name}: {failure:?}", kind.name));
        let dump = node.dump().unwrap();
        let set = |key: &str| {
            let value = dump.runtimes["wasmtime"].settings.get(key);
            value.map(|value| value.replace('\'', "\""))
        };
        let context = format!("{} with containerd {name}", kind.name);
        assert_eq!(
            set("options.http_request_timeout").as_deref(),
            Some("\"30s\""),
            "{context}"
        );
        assert_eq!(set("options.list").as_deref(), Some("[1, 2]"), "{context}");
        assert_eq!(set("options.deep.on").as_deref(), Some("true"), "{context}");
        assert_eq!(set("options.odd key").as_deref(), Some("-0.5"), "{context}");
        assert_eq!(
            set("pod_annotations").as_deref(),
            Some("[\"slipway.dev/*\"]"),
            "{context}"
        );
        let sandboxer = version.takes_our_sandboxes().then_some("\"shim\"");
        assert_eq!(set("sandboxer").as_deref(), sandboxer, "{context}");
        assert!(
            dump.runtimes["lunatic"]
                .runtime_type
                .starts_with("/usr/local/bin/"),
            "{context}"
        );
        if version.knows_local_image_pull() && room {
            assert!(dump.local_image_pull, "{context}");
            pulling += 1;
        }
        node.become_node(Shims::new(), 0).unwrap();
        assert_eq!(node.tree(), before, "{context}");
    }
    assert_eq!(
        pulling > 3,
        real.version.knows_local_image_pull(),
        "{pulling} kinds"
    );
}

/// Why the installer refuses it there (`Version::loses_version_1`).
#[rstest]
#[case("1.7", true)]
#[case("2.1", false)]
#[case("2.4", true)]
fn a_root_of_version_1_says_nothing_to_some(#[case] name: &str, #[case] seen: bool) {
    let real = Real::new(name);
    let kind = nodes::kinds()
        .find(|kind| kind.name == "root of version 1")
        .unwrap();
    let node = real.node(kind);
    assert_eq!(node.dump().unwrap().runtimes.contains_key("crun"), seen);
    assert_eq!(
        node.configuration([("slipway".to_owned(), ours("0123", &["wasmtime"]))].into())
            .is_ok(),
        seen
    );
}

#[rstest]
fn no_sequence_leaves_what_containerd_does_not_accept(
    #[values("1.6", "1.7", "2.1", "2.4")] name: &str,
) {
    let real = Real::new(name);
    sequences::run(&real);
}
