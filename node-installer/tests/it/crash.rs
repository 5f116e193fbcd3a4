//! A transaction killed at any step leaves a node that the next run brings to one end or the other, with a containerd
//! that answers.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use slipway_node_installer::report::Outcome;

use crate::fake::{DROP_IN, Node, ROOT};
use crate::golden::CONFIG;

/// Runs with a kill at a step; whether it was killed.
pub(crate) fn killed(work: impl FnOnce()) -> bool {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    result.is_err()
}

/// A node after an uninstall that was stopped at `step`: as it was `installed`, or as `before`, and its journal says which.
fn stands_as_recorded(
    node: &Node,
    before: &BTreeMap<PathBuf, Vec<u8>>,
    installed: &BTreeMap<PathBuf, Vec<u8>>,
    step: usize,
) {
    let (serves, expected) = match node.journal.installed().unwrap() {
        Some(_) => (true, installed),
        None => (false, before),
    };
    assert_eq!(
        (node.serves(), &node.configuration()),
        (serves, expected),
        "step {step}"
    );
}

fn steps_of_an_install() -> usize {
    let mut node = Node::new();
    let install = node.install();
    let (result, steps) = node.with_engine(0, |engine| engine.run(install));
    result.unwrap();
    steps.len()
}

#[test]
fn an_install_and_an_uninstall_without_a_crash() {
    let mut node = Node::new();
    let before = node.configuration();
    let install = node.install();
    node.with_engine(0, |engine| engine.run(install)).0.unwrap();
    assert!(node.serves());
    assert_eq!((node.daemon.restarts, node.daemon.watchdogs), (1, 1));
    assert!(node.journal.open_transaction().unwrap().is_none());

    let uninstall = node.uninstall();
    node.with_engine(0, |engine| engine.run(uninstall))
        .0
        .unwrap();
    assert!(!node.serves());
    assert_eq!(node.configuration(), before);
    node.journal.remove_if_unused().unwrap();
    assert!(!node.root.local(Path::new("/var/lib/slipway")).exists());
}

/// A root file that imports the folder of our drop-in already, so that the drop-in alone is ours.
const IMPORTS: &str = "version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n";

#[test]
fn tables_that_containerd_still_serves_from_a_file_that_is_gone_go_with_a_restart() {
    let mut node = Node::with((2, 4), IMPORTS);
    let install = node.install();
    node.with_engine(0, |engine| engine.run(install)).0.unwrap();
    fs::remove_file(node.root.local(Path::new(DROP_IN))).unwrap();
    assert!(node.serves(), "nobody has restarted it");

    let uninstall = node.uninstall();
    assert!(uninstall.changes.is_empty(), "the disk is as it should be");
    node.with_engine(0, |engine| engine.run(uninstall))
        .0
        .unwrap();
    assert!(!node.serves());
    assert_eq!(node.daemon.restarts, 2);
    assert!(node.journal.installed().unwrap().is_none());
}

#[test]
fn a_file_that_came_back_as_old_as_it_was_is_read_and_only_once() {
    let mut node = Node::with((2, 4), IMPORTS);
    let install = node.install();
    node.with_engine(0, |engine| engine.run(install)).0.unwrap();
    let drop_in = node.root.local(Path::new(DROP_IN));
    let aside = drop_in.with_extension("bak");
    fs::rename(&drop_in, &aside).unwrap();
    node.boot();
    fs::rename(&aside, &drop_in).unwrap();
    assert!(!node.serves());

    for restarts in [3, 3] {
        let install = node.install();
        assert!(install.changes.is_empty());
        node.with_engine(0, |engine| engine.run(install)).0.unwrap();
        assert!(node.serves());
        assert_eq!(node.daemon.restarts, restarts);
    }
}

#[test]
fn an_uninstall_ends_with_a_containerd_that_runs_on_what_it_leaves() {
    let theirs = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata]\nruntime_type = \"io.containerd.kata.v2\"\n";
    let mut node = Node::with((1, 7), theirs);
    let install = node.install();
    node.with_engine(0, |engine| engine.run(install)).0.unwrap();
    let config = node.root.local(Path::new(CONFIG));
    fs::remove_file(&config).unwrap();
    node.boot();
    let kata = |node: &Node| node.daemon.running.as_ref().unwrap().contains_key("kata");
    assert!(!kata(&node), "it runs on its own defaults");

    // What `operation::restore` does before anything else. A file's time lags behind the clock by a tick of the kernel.
    std::thread::sleep(std::time::Duration::from_millis(50));
    fs::write(&config, theirs).unwrap();
    let uninstall = node.uninstall();
    assert!(uninstall.changes.is_empty());
    node.with_engine(0, |engine| engine.run(uninstall))
        .0
        .unwrap();
    assert!(kata(&node) && !node.serves());
    assert_eq!(fs::read_to_string(&config).unwrap(), theirs);
}

#[test]
fn an_install_killed_at_any_step_is_finished_or_undone_by_the_next_run() {
    for step in 1..=steps_of_an_install() {
        let mut node = Node::new();
        let before = node.configuration();
        let install = node.install();
        assert!(
            killed(|| drop(node.with_engine(step, |engine| engine.run(install)))),
            "step {step}"
        );
        // What a write leaves when it is killed between its first byte and its rename.
        let cut = node
            .root
            .local(Path::new("/etc/containerd/.slipway-cut.tmp"));
        if node.journal.open_transaction().unwrap().is_some() {
            fs::write(&cut, "version").unwrap();
        }

        node.with_engine(0, |engine| engine.recover()).0.unwrap();
        assert!(!cut.exists(), "step {step}");
        assert!(
            node.journal.open_transaction().unwrap().is_none(),
            "step {step}"
        );
        match node.journal.installed().unwrap() {
            Some(_) => assert!(node.serves(), "step {step}"),
            None => {
                assert!(!node.serves(), "step {step}");
                assert_eq!(node.configuration(), before, "step {step}");
            }
        }
        let install = node.install();
        node.with_engine(0, |engine| engine.run(install)).0.unwrap();
        assert!(node.serves(), "step {step}");
    }
}

#[test]
fn an_uninstall_killed_at_any_step_is_finished_or_undone_by_the_next_run() {
    let mut step = 0;
    loop {
        step += 1;
        let mut node = Node::new();
        let before = node.configuration();
        let install = node.install();
        node.with_engine(0, |engine| engine.run(install)).0.unwrap();
        let installed = node.configuration();
        let uninstall = node.uninstall();
        if !killed(|| drop(node.with_engine(step, |engine| engine.run(uninstall)))) {
            break;
        }
        node.with_engine(0, |engine| engine.recover()).0.unwrap();
        stands_as_recorded(&node, &before, &installed, step);
    }
    assert!(step > 5);
}

#[test]
fn a_containerd_that_does_not_start_is_put_back_even_through_a_second_crash() {
    let mut steps = 1;
    loop {
        let mut node = Node::new();
        node.daemon.allergic = true;
        let before = node.configuration();
        let install = node.install();
        let was_killed = killed(|| {
            let (result, _) = node.with_engine(steps, |engine| engine.run(install));
            let failure = result.unwrap_err();
            assert_eq!(
                (failure.outcome, failure.reason),
                (Outcome::RolledBack, "ContainerdNotReady")
            );
            assert!(
                failure.message.contains("containerd: allergic"),
                "{}",
                failure.message
            );
        });
        if was_killed {
            node.with_engine(0, |engine| engine.recover()).0.unwrap();
        }
        assert!(node.daemon.running.is_some(), "step {steps}");
        assert_eq!(node.configuration(), before, "step {steps}");
        assert!(node.journal.installed().unwrap().is_none(), "step {steps}");
        if !was_killed {
            break;
        }
        steps += 1;
    }
    assert!(steps > 8);
}

#[test]
fn an_edit_made_while_a_transaction_was_open_survives_the_way_back() {
    let mut node = Node::new();
    let install = node.install();
    let at_restart = 6;
    assert!(killed(|| drop(
        node.with_engine(at_restart, |engine| engine.run(install))
    )));
    let path = node.root.local(Path::new(CONFIG));
    let edited = format!(
        "{}[debug]\nlevel = 'debug'\n",
        fs::read_to_string(&path).unwrap()
    );
    fs::write(&path, edited).unwrap();

    node.with_engine(0, |engine| engine.recover()).0.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{ROOT}[debug]\nlevel = 'debug'\n"));
    assert!(!node.root.local(Path::new(DROP_IN)).exists());
    assert!(!node.serves());
}

#[test]
fn a_file_that_changed_since_the_plan_is_not_overwritten() {
    let mut node = Node::new();
    let install = node.install();
    let path = node.root.local(Path::new(CONFIG));
    fs::write(&path, "version = 3 # theirs\n").unwrap();
    let (result, _) = node.with_engine(0, |engine| engine.run(install));
    let failure = result.unwrap_err();
    assert_eq!(
        (failure.outcome, failure.reason),
        (Outcome::RolledBack, "ConfigChanged")
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "version = 3 # theirs\n");
    assert_eq!(node.daemon.restarts, 0, "containerd never saw a byte of it");
}

/// The machine stops and starts again: the recovery unit runs if it is there, and then containerd reads what lies there.
fn power_cut(node: &mut Node) {
    if node.is_armed() {
        node.with_engine(0, |engine| engine.recover_at_boot())
            .0
            .unwrap();
    }
    node.boot();
}

#[test]
fn a_power_cut_at_any_step_leaves_a_containerd_that_starts() {
    for allergic in [false, true] {
        for step in 1.. {
            let mut node = Node::new();
            node.daemon.allergic = allergic;
            let before = node.configuration();
            let install = node.install();
            let cut = killed(|| drop(node.with_engine(step, |engine| engine.run(install))));
            power_cut(&mut node);
            assert!(node.daemon.running.is_some(), "step {step}");
            node.with_engine(0, |engine| engine.recover()).0.unwrap();
            assert!(
                node.journal.open_transaction().unwrap().is_none(),
                "step {step}"
            );
            assert!(!node.is_armed(), "step {step}");
            if node.journal.installed().unwrap().is_some() {
                assert!(node.serves(), "step {step}");
            } else {
                assert_eq!(node.configuration(), before, "step {step}");
            }
            if !cut {
                assert!(step > 8, "only {step} steps");
                break;
            }
        }
    }
}

#[test]
fn a_power_cut_in_an_uninstall_gives_back_what_stood_there() {
    for step in 1.. {
        let mut node = Node::new();
        let before = node.configuration();
        let install = node.install();
        node.with_engine(0, |engine| engine.run(install)).0.unwrap();
        let installed = node.configuration();
        let uninstall = node.uninstall();
        let cut = killed(|| drop(node.with_engine(step, |engine| engine.run(uninstall))));
        power_cut(&mut node);
        node.with_engine(0, |engine| engine.recover()).0.unwrap();
        stands_as_recorded(&node, &before, &installed, step);
        if !cut {
            assert!(step > 8, "only {step} steps");
            break;
        }
    }
}

#[test]
fn nothing_is_written_before_the_way_back_over_a_reboot_is_there() {
    let mut node = Node::new();
    let units = node.root.local(Path::new("/etc/systemd/system"));
    fs::remove_dir(&units).unwrap();
    // A file in the folder's place: nothing can be made below it, whoever tries.
    fs::write(&units, "").unwrap();
    let before = node.configuration();
    let install = node.install();
    let failure = node
        .with_engine(0, |engine| engine.run(install))
        .0
        .unwrap_err();
    assert_eq!(
        (failure.outcome, failure.reason),
        (Outcome::Refused, "RecoveryUnavailable")
    );
    assert_eq!(node.configuration(), before);
    assert!(node.journal.open_transaction().unwrap().is_none());
    assert_eq!(node.daemon.restarts, 0);
}
