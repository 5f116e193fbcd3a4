//! Several shims on one node: they come and go in any order, and the last one's going gives back every byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use slipway_node_installer::failure::Failure;
use slipway_node_installer::journal::InstalledShim;
use slipway_node_installer::spec::Leftovers;

use crate::crash::killed;
use crate::fake::{Node, ROOT, shim};
use crate::golden::CONFIG;

const V1: &str = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc] # mine\n  runtime_type = \"io.containerd.runc.v2\"\n";
const BARE: &str =
    "version = 2\n\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\n  bin_dir = \"/usr/lib/cni\"\n";

const LEFT: &str = "version = 2\n# mine\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.spin]\nruntime_type = \"/opt/kwasm/bin/containerd-shim-spin-v1\"\n";

/// The shims that the tests know: two that are placed, an adopted one, and one with options.
fn known(name: &str) -> InstalledShim {
    match name {
        "slipway" => shim("0123/containerd-shim-slipway-v1", &["wasmtime", "wws"]),
        "upgraded" => shim("89ab/containerd-shim-slipway-v1", &["wasmtime", "wws"]),
        "spin" => shim("4567/containerd-shim-spin-v2", &["spin"]),
        "adopted" => shim("/usr/local/bin/containerd-shim-lunatic-v1", &["lunatic"]),
        other => panic!("no shim {other}"),
    }
}

/// Makes exactly these shims stand on the node, killed at a step (0 is never).
fn become_node(
    node: &mut Node,
    shims: &BTreeMap<String, InstalledShim>,
    leftovers: Leftovers,
    kill_at: usize,
) -> Result<(), Failure> {
    let more = shims.len() >= node.shims().len();
    let operation = if more { "install" } else { "uninstall" };
    let transaction = node.transaction(operation, shims.clone(), leftovers)?;
    node.with_engine(kill_at, |engine| engine.run(transaction))
        .0
}

fn assert_serves(node: &Node, shims: &BTreeMap<String, InstalledShim>) {
    let running = node.daemon.running.as_ref().unwrap();
    for shim in shims.values() {
        for handler in &shim.handlers {
            assert_eq!(
                running.get(&handler.name).map(Path::new),
                Some(shim.path.as_path())
            );
        }
    }
    let ours = running
        .values()
        .filter(|kind| kind.starts_with("/opt/slipway") || kind.contains("lunatic"));
    assert_eq!(
        ours.count(),
        shims
            .values()
            .map(|shim| shim.handlers.len())
            .sum::<usize>()
    );
}

#[derive(Debug, Clone)]
enum Step {
    Install(&'static str),
    Upgrade,
    Uninstall(&'static str),
    ForeignEdit,
}

fn step() -> impl Strategy<Value = Step> {
    let name = prop_oneof![Just("slipway"), Just("spin"), Just("adopted")];
    prop_oneof![
        4 => name.clone().prop_map(Step::Install),
        1 => Just(Step::Upgrade),
        3 => name.prop_map(Step::Uninstall),
        1 => Just(Step::ForeignEdit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_the_node_serves_what_stands_there_and_gives_back_every_byte(
        steps in proptest::collection::vec((step(), 0..40_usize), 1..8),
        (version, text) in prop_oneof![Just(((2, 4), ROOT)), Just(((2, 1), V1)), Just(((1, 7), V1)), Just(((1, 6), BARE))],
    ) {
        let mut node = Node::with(version, text);
        let mut expected = node.configuration();
        let mut edits = String::new();
        for (step, kill_at) in steps {
            let mut shims = node.shims();
            match step {
                Step::Install(name) => drop(shims.insert(name.to_owned(), known(name))),
                Step::Upgrade if shims.contains_key("slipway") => drop(shims.insert("slipway".to_owned(), known("upgraded"))),
                Step::Uninstall(name) if shims.contains_key(name) => drop(shims.remove(name)),
                Step::ForeignEdit => {
                    let path = node.root.local(Path::new(CONFIG));
                    let edit = format!("[metrics]\naddress = \"127.0.0.1:{}\"\n", 1338);
                    if edits.is_empty() {
                        let text = fs::read_to_string(&path).unwrap();
                        fs::write(&path, format!("{text}{edit}")).unwrap();
                        edits = edit;
                    }
                    continue;
                }
                _ => continue,
            }
            if killed(|| become_node(&mut node, &shims, Leftovers::Keep, kill_at).unwrap()) {
                node.with_engine(0, |engine| engine.recover()).0.unwrap();
            }
            prop_assert!(node.journal.open_transaction().unwrap().is_none());
            assert_serves(&node, &node.shims());
        }
        while let Some(name) = node.shims().keys().next().cloned() {
            let mut shims = node.shims();
            shims.remove(&name);
            become_node(&mut node, &shims, Leftovers::Keep, 0).unwrap();
            assert_serves(&node, &shims);
        }
        if edits.is_empty() {
            prop_assert_eq!(node.configuration(), expected);
        } else {
            // Somebody else's edit stays, and nothing of ours does.
            let config = node.root.local(Path::new(CONFIG));
            let text = String::from_utf8(expected.remove(&config).unwrap()).unwrap();
            let now = fs::read_to_string(&config).unwrap();
            prop_assert_eq!(now.replace(char::is_whitespace, ""), format!("{text}{edits}").replace(char::is_whitespace, ""));
        }
    }
}

/// Kills an operation at each of its steps; the next run brings it to one end or the other, in file, journal and
/// containerd alike.
fn killed_everywhere(
    prepare: impl Fn() -> Node,
    shims: &BTreeMap<String, InstalledShim>,
    leftovers: Leftovers,
) {
    let mut done = prepare();
    become_node(&mut done, shims, leftovers, 0).unwrap();
    let after = relative(&done);
    for step in 1.. {
        let mut node = prepare();
        let before = (relative(&node), node.shims());
        let was_killed = killed(|| become_node(&mut node, shims, leftovers, step).unwrap());
        if !was_killed {
            assert!(step > 5, "only {step} steps");
            return;
        }
        node.with_engine(0, |engine| engine.recover()).0.unwrap();
        assert!(
            node.journal.open_transaction().unwrap().is_none(),
            "step {step}"
        );
        let now = (relative(&node), node.shims());
        assert!(
            now == before || now == (after.clone(), shims.clone()),
            "step {step}: {now:?}"
        );
        assert_serves(&node, &now.1);
    }
}

/// The configuration with names that do not depend on where the node is.
fn relative(node: &Node) -> BTreeMap<String, Vec<u8>> {
    let base = node.root.base().to_owned();
    let files = node.configuration().into_iter();
    files
        .map(|(path, bytes)| {
            (
                path.strip_prefix(&base).unwrap().display().to_string(),
                bytes,
            )
        })
        .collect()
}

fn shims(names: &[&str]) -> BTreeMap<String, InstalledShim> {
    names
        .iter()
        .map(|name| ((*name).to_owned(), known(name)))
        .collect()
}

fn node_with(version: (u32, u32), text: &str, names: &[&str]) -> Node {
    let mut node = Node::with(version, text);
    if !names.is_empty() {
        become_node(&mut node, &shims(names), Leftovers::Keep, 0).unwrap();
    }
    node
}

#[test]
fn a_second_shim_killed_at_any_step_leaves_the_first_alone() {
    for (version, text) in [((2, 4), ROOT), ((1, 7), V1)] {
        let first = || node_with(version, text, &["slipway"]);
        killed_everywhere(first, &shims(&["slipway", "spin"]), Leftovers::Keep);
        killed_everywhere(first, &shims(&["slipway", "adopted"]), Leftovers::Keep);
    }
}

#[test]
fn the_removal_of_one_of_several_killed_at_any_step_leaves_the_others_alone() {
    for (version, text) in [((2, 4), ROOT), ((1, 7), V1)] {
        let all = || node_with(version, text, &["slipway", "spin", "adopted"]);
        killed_everywhere(all, &shims(&["spin", "adopted"]), Leftovers::Keep);
        killed_everywhere(all, &shims(&["slipway", "spin"]), Leftovers::Keep);
        killed_everywhere(all, &shims(&["slipway", "adopted"]), Leftovers::Keep);
    }
}

#[test]
fn the_removal_of_leftovers_killed_at_any_step_gives_them_back_or_is_done() {
    for version in [(2, 4), (1, 7)] {
        let left = || node_with(version, LEFT, &[]);
        killed_everywhere(left, &shims(&["slipway", "spin"]), Leftovers::Remove);
    }
}

#[test]
fn leftovers_come_back_when_containerd_does_not_take_the_change() {
    let mut node = Node::with((2, 4), LEFT);
    let before = node.configuration();
    node.daemon.allergic = true;
    let failure = become_node(&mut node, &shims(&["spin"]), Leftovers::Remove, 0).unwrap_err();
    assert_eq!(failure.reason, "ContainerdNotReady");
    assert_eq!(node.configuration(), before);
}

#[test]
fn leftovers_are_kept_and_named_or_removed_for_good() {
    let node = Node::with((2, 4), LEFT);
    let failure = node
        .transaction("install", shims(&["spin"]), Leftovers::Keep)
        .unwrap_err();
    assert_eq!(failure.reason, "HandlerLeft");
    assert!(
        failure
            .message
            .contains("KWasm (/opt/kwasm/bin/containerd-shim-spin-v1)"),
        "{}",
        failure.message
    );

    let mut node = Node::with((2, 4), LEFT);
    become_node(&mut node, &shims(&["spin"]), Leftovers::Remove, 0).unwrap();
    become_node(&mut node, &BTreeMap::new(), Leftovers::Keep, 0).unwrap();
    let text = fs::read_to_string(node.root.local(Path::new(CONFIG))).unwrap();
    assert_eq!(
        text,
        LEFT.split_once("\n\n").unwrap().0.to_owned() + "\n",
        "all else is as it was"
    );
}

#[test]
fn a_table_of_our_name_that_somebody_wrote_meanwhile_stays_when_ours_goes() {
    let mut node = node_with((2, 4), ROOT, &["slipway"]);
    let path = node.root.local(Path::new(CONFIG));
    let theirs = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.wws]\nruntime_type = 'io.containerd.wws.v1'\n";
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{theirs}")).unwrap();
    become_node(&mut node, &BTreeMap::new(), Leftovers::Keep, 0).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!("{ROOT}{theirs}")
    );
    let running = node.daemon.running.as_ref().unwrap();
    assert_eq!(running["wws"], "io.containerd.wws.v1");
    assert!(!running.contains_key("wasmtime"));
}

#[test]
fn two_shims_cannot_claim_one_handler() {
    let node = node_with((2, 4), ROOT, &["slipway"]);
    let mut both = shims(&["slipway"]);
    both.insert(
        "other".to_owned(),
        shim("4567/containerd-shim-other-v1", &["x", "wws"]),
    );
    let failure = node
        .transaction("install", both, Leftovers::Keep)
        .unwrap_err();
    assert_eq!(
        failure.message,
        "the shims other and slipway of this node both claim the handler wws: choose another for one"
    );
    assert_eq!(failure.reason, "HandlerTaken");
}

#[test]
fn local_image_pull_stays_as_long_as_one_shim_asks_for_it() {
    let mut node = Node::with((2, 4), ROOT);
    let before = node.configuration();
    let mut both = shims(&["slipway", "spin"]);
    both.get_mut("spin").unwrap().local_image_pull = true;
    let pulls = |node: &Node| {
        let files = node.configuration().into_values();
        files
            .into_iter()
            .any(|bytes| String::from_utf8_lossy(&bytes).contains("use_local_image_pull = true"))
    };
    become_node(&mut node, &both, Leftovers::Keep, 0).unwrap();
    assert!(pulls(&node));
    both.remove("spin");
    become_node(&mut node, &both, Leftovers::Keep, 0).unwrap();
    assert!(!pulls(&node));
    become_node(&mut node, &BTreeMap::new(), Leftovers::Keep, 0).unwrap();
    assert_eq!(node.configuration(), before);
}

#[test]
fn an_install_of_the_earlier_format_is_upgraded_and_given_back() {
    let mut node = node_with((2, 4), ROOT, &["slipway"]);
    // As the installer before this one wrote it: one shim, without a name.
    let path = node
        .root
        .local(Path::new("/var/lib/slipway/journal/installed.json"));
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let fields = record.as_object_mut().unwrap();
    fields.remove("shims");
    fields.insert("version".to_owned(), 1.into());
    fields.insert("digest".to_owned(), "0123".into());
    fields.insert(
        "shim".to_owned(),
        "/opt/slipway/0123/containerd-shim-slipway-v1".into(),
    );
    fields.insert("handlers".to_owned(), vec!["wasmtime", "wws"].into());
    fs::write(&path, record.to_string()).unwrap();
    assert_eq!(node.shims(), shims(&["slipway"]));

    become_node(&mut node, &shims(&["slipway", "spin"]), Leftovers::Keep, 0).unwrap();
    assert_serves(&node, &shims(&["slipway", "spin"]));
    become_node(&mut node, &BTreeMap::new(), Leftovers::Keep, 0).unwrap();
    assert_eq!(relative(&node), relative(&Node::new()));
}
