//! Random lives of a node: installs, upgrades, uninstalls, crashes in any of them, reboots, and edits by others.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use slipway_node_installer::containerd::dump::{Dump, Runtime};
use slipway_node_installer::detect::distribution::Distribution;
use slipway_node_installer::report::Outcome;

use crate::Real;
use crate::cycle::transactions::adopted;
use crate::cycle::{Cycle, INSTALL_ROOT};

/// More, by `SLIPWAY_JUDGE_CASES`, with another `SLIPWAY_JUDGE_SEED`.
const CASES: u32 = 8;
const SEED: u64 = 1;

/// More than any transaction has steps: a kill there is none.
const MOST_STEPS: usize = 16;

#[derive(Debug, Clone)]
enum Step {
    Install {
        digest: &'static str,
        both: bool,
        kill_at: usize,
    },
    Uninstall {
        kill_at: usize,
    },
    Adopt {
        other: bool,
        kill_at: usize,
    },
    Reboot,
    Edit(Edit),
}

/// What others do to the files of the node.
#[derive(Debug, Clone, Copy)]
enum Edit {
    Comment,
    Runtime(u8),
    RemoveOurFile,
    Setting,
}

fn step() -> impl Strategy<Value = Step> {
    let digest = prop_oneof![Just("0123"), Just("4567")];
    let kill_at = prop_oneof![2 => Just(0), 3 => 1..MOST_STEPS];
    let edit = prop_oneof![
        Just(Edit::Comment),
        (0..3_u8).prop_map(Edit::Runtime),
        Just(Edit::RemoveOurFile),
        Just(Edit::Setting),
    ];
    prop_oneof![
        4 => (digest, any::<bool>(), kill_at.clone())
            .prop_map(|(digest, both, kill_at)| Step::Install { digest, both, kill_at }),
        2 => kill_at.clone().prop_map(|kill_at| Step::Uninstall { kill_at }),
        1 => (any::<bool>(), kill_at).prop_map(|(other, kill_at)| Step::Adopt { other, kill_at }),
        1 => Just(Step::Reboot),
        3 => edit.prop_map(Step::Edit),
    ]
}

/// The handlers that are not ours.
pub(crate) fn foreign(dump: &Dump) -> BTreeMap<&String, &Runtime> {
    let mut found = dump.foreign(Path::new(INSTALL_ROOT));
    found.retain(|name, _| *name != "lunatic");
    found
}

/// Lives of nodes, the same ones every time unless told otherwise.
pub(crate) fn run(real: &Real) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed: u64 = number("SLIPWAY_JUDGE_SEED").unwrap_or(SEED);
    let cases =
        number("SLIPWAY_JUDGE_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap_or(CASES));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 40,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let kinds = real.kinds();
    let life = (0..kinds.len(), proptest::collection::vec(step(), 1..8));
    let result = runner.run(&life, |(kind, steps)| {
        let mut node = real.node(kinds[kind]);
        live(&mut node, &steps)
            .map_err(|why| TestCaseError::fail(format!("{}: {why}", kinds[kind].name)))
    });
    if let Err(error) = result {
        panic!("containerd {} (seed {seed}): {error}", real.version);
    }
}

/// A life: after every step, also one that was killed, containerd accepts what it finds, and others' handlers are as
/// they made them.
fn live(node: &mut Cycle<'_>, steps: &[Step]) -> Result<(), String> {
    let first = node.tree();
    let mut edited = false;
    let mut theirs = node.dump()?;
    for step in steps {
        let outcome = match step {
            Step::Install {
                digest,
                both,
                kill_at,
            } => {
                let names: &[&str] = if *both {
                    &["wasmtime", "spin"]
                } else {
                    &["wasmtime"]
                };
                killable(|| node.install(digest, names, *kill_at))
            }
            Step::Uninstall { kill_at } => {
                let mut shims = node.shims();
                shims.remove("slipway");
                killable(|| node.become_node(shims, *kill_at))
            }
            Step::Adopt { other, kill_at } => {
                let mut shims = node.shims();
                if *other {
                    shims.insert("lunatic".to_owned(), adopted());
                } else {
                    shims.remove("lunatic");
                }
                killable(|| node.become_node(shims, *kill_at))
            }
            Step::Reboot => Ok(()),
            Step::Edit(edit) => {
                edited |= apply(node, *edit);
                theirs = node.dump()?;
                Ok(())
            }
        };
        if let Err(why) = &outcome
            && why != "killed"
        {
            return Err(format!("{step:?}: {why}"));
        }
        // What a machine that loses power here would start with.
        node.render();
        let now = node
            .dump()
            .map_err(|why| format!("after {step:?}: {why}"))?;
        if foreign(&now) != foreign(&theirs) {
            return Err(format!(
                "after {step:?}: others' handlers are {:?}",
                foreign(&now)
            ));
        }
        if outcome.is_err() {
            // Half of the kills are power cuts.
            let cut = matches!(step, Step::Install { kill_at, .. } | Step::Uninstall { kill_at } if kill_at % 2 == 0);
            if cut {
                killable(|| node.power_cut())
                    .map_err(|why| format!("booting after {step:?}: {why}"))?;
                node.dump()
                    .map_err(|why| format!("booted after {step:?}: {why}"))?;
            }
            killable(|| node.recover())
                .map_err(|why| format!("recovering from {step:?}: {why}"))?;
        }
        let now = node
            .dump()
            .map_err(|why| format!("recovered from {step:?}: {why}"))?;
        let shims = node.shims();
        for (shim, handler) in [("slipway", "wasmtime"), ("lunatic", "lunatic")] {
            let (served, recorded) = (now.runtimes.contains_key(handler), shims.contains_key(shim));
            // Somebody may have removed our file since; the next install puts it back.
            if served != recorded && !(recorded && edited) {
                return Err(format!(
                    "after {step:?}: {handler} served {served}, recorded {recorded}"
                ));
            }
        }
        if shims.is_empty() && !edited && node.tree() != first {
            return Err(format!("after {step:?}: not every byte is back"));
        }
    }
    Ok(())
}

/// How it ended; that nothing was changed, or that all was put back, is a good end.
fn killable(
    work: impl FnOnce() -> Result<(), slipway_node_installer::failure::Failure>,
) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) if failure.outcome != Outcome::Failed => Ok(()),
        Ok(Err(failure)) => Err(failure.message),
        Err(_) => Err("killed".to_owned()),
    }
}

/// Edits as a person would, who looks whether containerd still starts; whether anything is changed.
fn apply(node: &Cycle<'_>, edit: Edit) -> bool {
    let path = match node.kind.distribution {
        Distribution::Generic | Distribution::CriO => node.kind.config.to_owned(),
        _ => return apply_to_piece(node, edit),
    };
    let Some(text) = node.read(&path) else {
        return false;
    };
    let plugin = if text.contains("version = 3") || text.contains("version = 4") {
        "io.containerd.cri.v1.runtime"
    } else if text.contains("version = 2") {
        "io.containerd.grpc.v1.cri"
    } else {
        "cri"
    };
    let added = match edit {
        Edit::Comment => "\n# by hand\n".to_owned(),
        Edit::Runtime(number) => format!(
            "\n[plugins.\"{plugin}\".containerd.runtimes.extra{number}]\nruntime_type = \"io.containerd.runc.v2\"\n"
        ),
        Edit::Setting => "\n[ttrpc]\nuid = 0\n".to_owned(),
        Edit::RemoveOurFile => return remove_ours(node),
    };
    write_or_take_back(node, &path, &text, &format!("{text}{added}"))
}

/// Where a distribution writes the root file, people write what it is made from.
fn apply_to_piece(node: &Cycle<'_>, edit: Edit) -> bool {
    let Ok(Some(installed)) = node.journal.installed() else {
        return false;
    };
    if matches!(edit, Edit::RemoveOurFile) {
        return remove_ours(node);
    }
    let Some(path) = installed.files.first().map(|file| node.inner(&file.path)) else {
        return false;
    };
    let Some(text) = node.read(&path) else {
        return false;
    };
    write_or_take_back(node, &path, &text, &format!("{text}\n# by hand\n"))
}

fn remove_ours(node: &Cycle<'_>) -> bool {
    let Ok(Some(installed)) = node.journal.installed() else {
        return false;
    };
    let whole = installed.files.iter().find(|file| file.base.is_none());
    let Some(path) = whole.map(|file| node.inner(&file.path)) else {
        return false;
    };
    let Some(text) = node.read(&path) else {
        return false;
    };
    node.remove(&path);
    node.render();
    if node.dump().is_err() {
        node.write(&path, &text);
        return false;
    }
    true
}

fn write_or_take_back(node: &Cycle<'_>, path: &str, before: &str, after: &str) -> bool {
    node.write(path, after);
    node.render();
    if node.dump().is_ok() {
        return true;
    }
    node.write(path, before);
    node.render();
    false
}
