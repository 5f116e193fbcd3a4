//! What was proven and is gone: put back at once, but not for ever.

use super::*;

fn drift(handler: &str) -> Drift {
    Drift {
        pod: "watcher".into(),
        handlers: vec![handler.into()],
        message: "/etc/x is gone".into(),
    }
}

/// From the installer's Job to the proof.
fn is_repaired(seen: &mut Observed) {
    seen.drifts.clear();
    assert_eq!(phase(seen), Phase::Installing);
    seen.reports("install", "done", "Installed");
    seen.step();
    seen.job = JobState::Missing;
    seen.canaries_are(&CanaryState::Succeeded);
    seen.step();
    seen.canaries.clear();
    assert_eq!(phase(seen), Phase::Ready);
}

#[test]
fn what_a_watcher_finds_gone_takes_the_labels_until_proven_again() {
    let mut seen = ready().with(|seen| seen.drifts = vec![drift("another-shims")]);
    let next = seen.step();
    assert_eq!(next.actions, []);
    assert_eq!(next.status.phase, Phase::Ready);

    seen.drifts.push(drift("wasmtime"));
    let next = seen.step();
    assert_eq!(
        next.actions,
        [
            Action::DeleteWatcher("watcher".into()),
            Action::Label(Labels::None)
        ]
    );
    assert_eq!(next.status.proof, None);
    assert_eq!(next.status.phase, Phase::Installing);
    let told = next
        .events
        .iter()
        .find(|event| event.reason == Reason::ProofLost);
    assert!(
        told.unwrap()
            .note
            .starts_with("/etc/x is gone; the labels are off")
    );

    // Until its pod is gone it goes on telling, of what is being put right.
    seen.reports("install", "done", "Installed");
    let next = seen.step();
    assert_eq!(next.status.phase, Phase::Verifying);
    assert!(!reasons(&next).contains(&Reason::ProofLost));
}

#[test]
fn what_was_told_before_the_repair_does_not_outlive_it() {
    let mut seen = ready().with(|seen| seen.node_mut().boot_id = "another".into());
    seen.drifts = vec![drift("another-shims"), drift("wasmtime")];
    let next = seen.step();
    assert!(
        next.events[0].note.contains("rebooted"),
        "{:?}",
        next.events
    );
    let told = Action::DeleteWatcher("watcher".into());
    let dismissed = next.actions.iter().filter(|action| **action == told);
    assert_eq!(dismissed.count(), 1, "{:?}", next.actions);
}

#[test]
fn what_is_taken_away_again_and_again_is_put_back_ever_later() {
    let mut seen = ready();
    for time in 1..=9 {
        seen.later(60);
        seen.drifts = vec![drift("wasmtime")];
        let next = seen.step();
        assert_eq!(next.status.drifts, time);
        if time < 9 {
            is_repaired(&mut seen);
        }
    }
    assert_eq!(phase(&seen), Phase::Failed);
    // The watcher that has told it stays: another would tell the same.
    let next = seen.step();
    assert!(
        !next
            .actions
            .contains(&Action::DeleteWatcher("watcher".into()))
    );
    assert_eq!(condition(&next, DEGRADED), ("True", "DriftRecurs"));
    assert_eq!(next.status.failures, 0, "no roll-out stops for it");
    seen.later(13);
    seen.step();
    is_repaired(&mut seen);

    // The tenth waits longer; one that comes after a quiet hour does not.
    seen.drifts = vec![drift("wasmtime")];
    seen.step();
    seen.drifts.clear();
    seen.later(13);
    assert_eq!(seen.step().status.phase, Phase::Failed);
    seen.later(12);
    seen.step();
    is_repaired(&mut seen);
    seen.later(3601);
    seen.drifts = vec![drift("wasmtime")];
    let next = seen.step();
    assert_eq!(next.status.drifts, 1);
    assert_eq!(next.status.phase, Phase::Installing);
}

#[test]
fn a_reboot_is_no_drift() {
    let mut seen = ready();
    for boot in 0..20 {
        seen.node_mut().boot_id = format!("boot-{boot}");
        assert_eq!(seen.step().status.drifts, 0);
        is_repaired(&mut seen);
    }
}

#[test]
fn the_last_proof_is_remembered_until_the_next() {
    let mut seen = ready();
    let proof = seen.object.status.clone().unwrap().proof;
    seen.node_mut().boot_id = "another".into();
    let next = seen.step();
    assert_eq!(next.status.lost_proof, proof);
    assert!(was_proven(
        &next.status,
        next.status.transaction.as_ref().unwrap()
    ));
    is_repaired(&mut seen);
    assert_eq!(seen.object.status.unwrap().lost_proof, None);
}

#[test]
fn a_goal_that_changes_under_the_installer_or_the_canary_is_begun_anew() {
    let mut other = goal(&["wasmtime", "spin"]);
    other.hash = "other".into();
    for mut seen in [
        installing().with(|seen| seen.reports("install", "done", "Installed")),
        verifying().with(|seen| seen.canaries_are(&CanaryState::Succeeded)),
    ] {
        seen.goal = other.clone();
        let next = seen.step();
        assert_eq!(next.status.phase, Phase::Installing);
        assert_eq!(next.status.transaction.unwrap().goal, "other");
        assert_eq!(next.status.proof, None);
    }
}
