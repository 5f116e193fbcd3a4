//! A node that is to be put back, and objects that go.

use super::*;

#[test]
fn another_node_of_the_same_name_starts_afresh() {
    let mut seen = ready();
    let old = seen.object.status.clone().unwrap().transaction.unwrap();
    seen.node_mut().uid = "other-uid".into();
    let next = seen.step();
    assert_eq!(
        next.actions,
        [
            Action::Label(Labels::None),
            Action::DeleteJob(old.job.clone())
        ]
    );
    assert_eq!(next.status.phase, Phase::Pending);
    assert_eq!(next.status.proof, None);
    let again = seen.step().status.transaction.unwrap();
    assert_ne!(again.job, old.job);
}

#[test]
fn a_node_that_is_gone_takes_its_object_along() {
    let mut seen = installing().with(|seen| seen.node = None);
    let next = seen.step();
    assert_eq!(next.actions, [Action::Delete, Action::Release]);
    assert!(next.ends_object());
    seen.delete();
    assert_eq!(seen.step().actions, [Action::Release]);
}

#[test]
fn unwanted_means_unlabelled_at_once_then_deleted() {
    let mut seen = ready();
    seen.wanted = false;
    assert_eq!(
        seen.step().actions,
        [Action::Label(Labels::None), Action::Delete]
    );
}

#[test]
fn removal_waits_for_pods_and_names_them() {
    let mut seen = ready();
    seen.wanted = false;
    seen.delete();
    seen.users = (0..7).map(|n| format!("shop/web-{n}")).collect();
    let next = seen.step();
    assert_eq!(next.status.phase, Phase::Draining);
    assert!(next.actions.contains(&Action::Label(Labels::None)));
    assert_eq!(reasons(&next), [Reason::PodsRunning]);
    assert!(
        next.events[0].note.contains("shop/web-4 and 2 more"),
        "{:?}",
        next.events
    );
    assert_eq!(condition(&next, READY), ("False", "PodsRunning"));
    assert_eq!(seen.step().events, [], "told once");
    seen.users.clear();
    let next = seen.step();
    assert_eq!(next.status.phase, Phase::Removing);
    assert_eq!(
        next.status.transaction.unwrap().operation,
        Operation::Uninstall
    );
}

#[test]
fn removal_waits_for_its_turn_and_for_the_node() {
    for (change, reason) in [
        (
            (|seen| seen.turn = false) as fn(&mut Observed),
            "WaitingForTurn",
        ),
        (|seen| seen.node_mut().ready = false, "NodeNotReady"),
    ] {
        let mut seen = ready().with(change);
        seen.wanted = false;
        seen.delete();
        let next = seen.step();
        assert_eq!(next.status.phase, Phase::Draining);
        assert_eq!(condition(&next, PROGRESSING), ("True", reason));
    }
}

#[test]
fn the_object_goes_when_the_node_is_clean_and_not_before() {
    let mut seen = removing();
    assert!(matches!(seen.step().actions[..], [Action::CreateJob(_)]));
    seen.job = JobState::Running { hint: None };
    assert_eq!(seen.step().actions, []);
    seen.reports("uninstall", "done", "Removed");
    let next = seen.step();
    assert_eq!(next.actions, [Action::Mark(false), Action::Release]);
    assert_eq!(reasons(&next), [Reason::Removed]);
}

#[test]
fn a_failed_uninstall_holds_the_object_and_is_tried_again() {
    for (outcome, wait) in [("failed", 12), ("rolledBack", 12), ("refused", 360)] {
        let mut seen = removing();
        seen.reports("uninstall", outcome, "Trouble");
        let next = seen.step();
        assert_eq!(next.status.phase, Phase::Failed);
        assert_eq!(reasons(&next), [Reason::UninstallFailed]);
        assert!(!next.ends_object());
        seen.job = JobState::Missing;
        assert_eq!(seen.step().status.phase, Phase::Failed, "waits");
        seen.later(wait);
        let again = seen.step();
        assert_eq!(again.status.phase, Phase::Removing);
        assert_eq!(
            again.status.transaction.unwrap().operation,
            Operation::Uninstall
        );
    }
}

#[test]
fn an_uninstaller_that_finds_pods_waits_for_them_ever_longer() {
    let mut seen = removing();
    for seconds in [12, 24, 48] {
        seen.reports("uninstall", "refused", "PodsRunning");
        let next = seen.step();
        assert_eq!(reasons(&next), [Reason::PodsRunning]);
        seen.job = JobState::Missing;
        seen.later(seconds / 2);
        assert_eq!(seen.step().status.phase, Phase::Failed);
        seen.later(seconds - seconds / 2);
        assert_eq!(seen.step().status.phase, Phase::Removing);
    }
}

#[test]
fn pods_that_stay_are_looked_for_less_and_less() {
    let mut seen = ready();
    seen.wanted = false;
    seen.delete();
    seen.users = vec!["shop/web".into()];
    for (minutes, wait) in [(0, 3), (2, 12), (10, 30)] {
        seen.later(60 * minutes);
        assert_eq!(seen.step().requeue, Some(Duration::from_secs(wait)));
    }
}

#[test]
fn nothing_to_undo_means_no_uninstaller() {
    let mut seen = fresh().with(|seen| seen.turn = false);
    seen.step();
    seen.wanted = false;
    seen.delete();
    assert_eq!(seen.step().actions, [Action::Release]);
}

#[test]
fn what_an_earlier_object_left_behind_is_undone() {
    let mut seen = fresh();
    seen.wanted = false;
    seen.node_mut().touched_by.insert("slipway".into());
    seen.delete();
    assert_eq!(seen.step().status.phase, Phase::Removing);
}

#[test]
fn an_installer_is_never_stopped_half_way() {
    let mut seen = installing();
    seen.wanted = false;
    seen.delete();
    seen.job = JobState::Running { hint: None };
    let next = seen.step();
    assert_eq!(next.status.phase, Phase::Installing);
    assert_eq!(condition(&next, PROGRESSING).1, "WaitingForInstaller");
    seen.reports("install", "done", "Installed");
    let next = seen.step();
    assert_eq!(next.status.phase, Phase::Removing);
}

#[test]
fn an_install_that_fails_during_removal_is_undone_without_a_wait() {
    let mut seen = installing();
    seen.wanted = false;
    seen.delete();
    seen.reports("install", "failed", "Trouble");
    assert_eq!(seen.step().status.phase, Phase::Removing);
}

#[test]
fn wanted_again_before_anything_was_removed_lets_the_object_go() {
    let mut seen = ready();
    seen.delete();
    seen.users = vec!["shop/web".into()];
    let next = seen.step();
    assert_eq!(next.actions, [Action::Label(Labels::None), Action::Release]);
    assert_eq!(reasons(&next), [Reason::RemovalCancelled]);
}

#[test]
fn wanted_again_during_the_uninstall_lets_it_end_first() {
    let mut seen = removing();
    seen.wanted = true;
    seen.job = JobState::Running { hint: None };
    assert_eq!(seen.step().actions, []);
    seen.reports("uninstall", "done", "Removed");
    assert_eq!(seen.step().actions, [Action::Mark(false), Action::Release]);
}

#[test]
fn an_object_without_our_finalizer_is_held_first() {
    let mut seen = fresh().with(|seen| seen.object.metadata.finalizers = None);
    assert_eq!(seen.step().actions, [Action::Hold]);
}

#[test]
fn a_stopped_roll_out_removes_all_the_same() {
    let mut seen = ready();
    seen.stopped = Some("node a has failed".into());
    seen.wanted = false;
    seen.delete();
    assert_eq!(seen.step().status.phase, Phase::Removing);
}
