//! Canaries, and the labels that follow the proof.

use super::*;

#[test]
fn labels_come_after_the_canary_and_not_before() {
    let mut seen = fresh();
    let mut labelled_at = Vec::new();
    for round in 0..8 {
        let next = seen.step();
        if next.actions.contains(&Action::Label(Labels::All)) {
            labelled_at.push((round, next.status.phase));
        }
        match next.status.phase {
            Phase::Installing => seen.reports("install", "done", "Installed"),
            Phase::Verifying => seen.canaries_are(&CanaryState::Succeeded),
            _ => {}
        }
    }
    assert_eq!(labelled_at, [(2, Phase::Ready)]);
}

#[test]
fn labels_taken_off_by_hand_come_back() {
    let mut seen = ready();
    seen.node_mut().labels.clear();
    assert_eq!(seen.step().actions, [Action::Label(Labels::All)]);
}

#[test]
fn labels_of_an_older_provisioner_go_until_proven() {
    let mut seen = fresh();
    seen.node_mut()
        .labels
        .insert(labels::PROVISIONED.into(), "n".into());
    assert_eq!(seen.step().actions, [Action::Label(Labels::None)]);
}

#[test]
fn one_canary_a_handler_and_all_must_run() {
    let mut seen = fresh().with(|seen| seen.goal = goal(&["wasmtime", "spin"]));
    seen.step();
    seen.reports("install", "unchanged", "Unchanged");
    seen.step();
    let made: Vec<_> = seen
        .step()
        .actions
        .into_iter()
        .filter_map(|action| match action {
            Action::CreateCanary { name, handler } => Some((name, handler)),
            _ => None,
        })
        .collect();
    assert_eq!(made.len(), 2);
    seen.canaries = vec![Canary {
        name: made[0].0.clone(),
        state: CanaryState::Succeeded,
    }];
    let half = seen.step();
    assert_eq!(half.status.phase, Phase::Verifying);
    assert_eq!(half.actions.len(), 1, "the other one is made again");
    seen.canaries_are(&CanaryState::Succeeded);
    assert_eq!(seen.step().status.phase, Phase::Ready);
}

#[test]
fn a_failed_canary_fails_the_node_and_stays_to_be_looked_at() {
    let mut seen = verifying();
    seen.canaries_are(&CanaryState::Failed {
        message: "exit code 126: no".into(),
    });
    let next = seen.step();
    assert_eq!(condition(&next, READY), ("False", "CanaryFailed"));
    assert_eq!(reasons(&next), [Reason::CanaryFailed]);
    assert_eq!(next.actions, []);
    seen.later(60);
    let again = seen.step();
    assert_eq!(again.status.phase, Phase::Installing);
    assert!(matches!(again.actions[..], [Action::DeleteCanary(_)]));
}

#[test]
fn a_canary_that_never_ends_fails_in_time() {
    let mut seen = verifying();
    seen.canaries_are(&CanaryState::Running { hint: None });
    seen.later(100);
    assert_eq!(seen.step().status.phase, Phase::Verifying);
    seen.later(100);
    let next = seen.step();
    assert_eq!(next.status.phase, Phase::Failed);
    assert!(matches!(next.actions[..], [Action::DeleteCanary(_)]));
}

#[test]
fn no_proof_while_the_kubelet_cannot_name_its_runtime() {
    let mut seen = verifying();
    seen.canaries_are(&CanaryState::Succeeded);
    seen.node_mut().runtime_version = "containerd://Unknown".into();
    assert_eq!(seen.step().status.phase, Phase::Verifying);
    seen.node_mut().runtime_version = "containerd://2.4.2".into();
    assert_eq!(seen.step().status.phase, Phase::Ready);
}

#[test]
fn a_reboot_or_another_containerd_takes_the_labels_until_proven_again() {
    for change in [
        (|seen| seen.node_mut().boot_id = "other".into()) as fn(&mut Observed),
        |seen| seen.node_mut().runtime_version = "containerd://2.4.3".into(),
    ] {
        let mut seen = ready().with(change);
        let next = seen.step();
        assert!(
            next.actions.contains(&Action::Label(Labels::None)),
            "{:?}",
            next.actions
        );
        assert_eq!(next.status.proof, None);
        assert_eq!(next.status.phase, Phase::Installing);
        assert!(reasons(&next).contains(&Reason::ProofLost));
    }
}

#[test]
fn a_node_that_is_only_not_ready_keeps_its_labels() {
    let mut seen = ready();
    seen.node_mut().ready = false;
    let next = seen.step();
    assert_eq!(next.actions, []);
    assert_eq!(next.status.phase, Phase::Ready);
}

#[test]
fn an_upgrade_keeps_the_labels_unless_it_goes_wrong() {
    let mut seen = ready();
    seen.goal.hash = "new".into();
    seen.goal.image = "image:2".into();
    let next = seen.step();
    assert_eq!(next.status.phase, Phase::Installing);
    assert_eq!(next.actions, []);
    assert_eq!(condition(&next, READY), ("True", "Verified"));
    assert_eq!(condition(&next, PROGRESSING), ("True", "Installing"));

    // Rolled back: the node is as it was proven.
    let mut rolled_back = seen.clone();
    rolled_back.reports("install", "rolledBack", "ContainerdUnhealthy");
    let next = rolled_back.step();
    assert_eq!(next.actions, []);
    assert_eq!(condition(&next, READY).0, "True");
    assert_eq!(condition(&next, DEGRADED).0, "True");

    // Failed: nobody knows.
    seen.reports("install", "failed", "RollbackFailed");
    let next = seen.step();
    assert_eq!(next.actions, [Action::Label(Labels::None)]);
    assert_eq!(condition(&next, READY).0, "False");
}

#[test]
fn a_new_handler_is_not_proven_by_the_old_ones() {
    let mut seen = ready();
    seen.goal.hash = "new".into();
    seen.goal.handlers.push("spin".into());
    assert!(seen.step().actions.contains(&Action::Label(Labels::None)));
}

#[test]
fn another_canary_proves_a_node_anew_and_installs_nothing() {
    let mut seen = ready();
    let installed = seen.object.status.clone().unwrap().transaction.unwrap();
    seen.goal.canary_hash = Some("server".into());
    let next = seen.step();
    assert_eq!(next.status.phase, Phase::Verifying);
    assert_eq!(next.actions, [], "the labels stay");
    assert_eq!(reasons(&next), [Reason::CanaryChanged]);
    assert_eq!(condition(&next, READY), ("True", "Verified"));
    let transaction = next.status.transaction.unwrap();
    assert_eq!(transaction.job, installed.job);
    assert_eq!(transaction.canary.as_deref(), Some("server"));
    assert!(matches!(
        seen.step().actions[..],
        [Action::CreateCanary { .. }]
    ));
    seen.canaries_are(&CanaryState::Succeeded);
    let next = seen.step();
    assert_eq!(next.status.phase, Phase::Ready);
    assert_eq!(next.status.proof.unwrap().canary.as_deref(), Some("server"));
    seen.canaries.clear();
    assert_eq!(seen.step().actions, [], "it rests");
}

#[test]
fn another_canary_waits_for_its_turn_like_any_change() {
    for (change, reason) in [
        (
            (|seen| seen.turn = false) as fn(&mut Observed),
            "WaitingForTurn",
        ),
        (
            |seen| seen.stopped = Some("node a has failed".into()),
            "RolloutStopped",
        ),
        (|seen| seen.node_mut().ready = false, "NodeNotReady"),
    ] {
        let mut seen = ready();
        seen.goal.canary_hash = Some("server".into());
        let mut held = seen.clone().with(change);
        let next = held.step();
        assert_eq!(next.actions, []);
        assert_eq!(condition(&next, PROGRESSING), ("True", reason));
        seen.object.status = held.object.status;
        assert_eq!(seen.step().status.phase, Phase::Verifying, "{reason}");
    }
}

#[test]
fn another_canary_that_fails_takes_the_labels_and_a_better_one_gives_them_back() {
    let mut seen = ready();
    let installed = seen.object.status.clone().unwrap().transaction.unwrap();
    seen.goal.canary_hash = Some("broken".into());
    seen.step();
    seen.canaries_are(&CanaryState::Failed {
        message: "exit code 1".into(),
    });
    let next = seen.step();
    assert!(next.actions.contains(&Action::Label(Labels::None)));
    assert_eq!(condition(&next, READY), ("False", "CanaryFailed"));
    assert_eq!(next.status.failures, 1);

    seen.goal.canary_hash = Some("right".into());
    let next = seen.step();
    assert_eq!(next.status.phase, Phase::Verifying, "without a wait");
    assert!(matches!(next.actions[..], [Action::DeleteCanary(_)]));
    assert_eq!(
        (next.status.failures, next.status.next_retry_time),
        (0, None)
    );
    seen.canaries_are(&CanaryState::Succeeded);
    let next = seen.step();
    assert_eq!(next.actions, [Action::Label(Labels::All)]);
    let transaction = next.status.transaction.unwrap();
    assert_eq!(transaction.job, installed.job, "installed once");
}

#[test]
fn a_canary_that_changes_while_it_runs_is_started_anew() {
    let mut seen = verifying();
    seen.canaries_are(&CanaryState::Succeeded);
    let old = seen.canaries[0].name.clone();
    seen.goal.canary_hash = Some("other".into());
    let next = seen.step();
    assert_eq!(next.status.phase, Phase::Verifying);
    assert_eq!(next.actions, [Action::DeleteCanary(old.clone())]);
    let [Action::CreateCanary { name, .. }] = &seen.step().actions[..] else {
        panic!("a new canary");
    };
    assert_ne!(*name, old);
}

#[test]
fn a_reboot_needs_the_installer_even_if_the_canary_is_new() {
    let mut seen = ready();
    seen.goal.canary_hash = Some("server".into());
    seen.node_mut().boot_id = "other".into();
    assert_eq!(seen.step().status.phase, Phase::Installing);
}

#[test]
fn labels_that_another_shim_keeps_up_stay() {
    let mut seen = ready();
    seen.shared = true;
    seen.wanted = false;
    let next = seen.step();
    assert_eq!(
        next.actions,
        [Action::Label(Labels::Shared), Action::Delete]
    );
    assert!(seen.node_mut().labels.contains_key(labels::WASM));
    assert!(!seen.node_mut().labels.contains_key("slipway.dev/slipway"));
    assert_eq!(seen.step().actions, [Action::Delete], "once");
}

#[test]
fn startup_taints_go_with_the_proof_and_not_before() {
    let startup: Vec<StartupTaint> =
        serde_json::from_value(json!([{"key": "slipway.dev/starting", "effect": "NoSchedule"}]))
            .unwrap();
    let mut seen = verifying();
    seen.goal.startup_taints.clone_from(&startup);
    seen.node_mut().taints = vec![
        ("slipway.dev/starting".into(), "NoSchedule".into()),
        ("slipway.dev/starting".into(), "NoExecute".into()),
    ];
    let before = seen.step();
    assert!(!before.actions.contains(&Action::Untaint(startup.clone())));
    seen.canaries_are(&CanaryState::Succeeded);
    assert!(seen.step().actions.contains(&Action::Untaint(startup)));
    assert_eq!(seen.node_mut().taints.len(), 1, "the other effect stays");
    seen.canaries.clear();
    assert_eq!(seen.step().actions, []);
}

#[test]
fn a_server_as_canary_has_to_run() {
    let mut seen = verifying();
    seen.canaries_are(&CanaryState::Up);
    assert_eq!(seen.step().status.phase, Phase::Verifying, "it is to end");
    seen.goal.canary = CanarySuccess::Running;
    assert_eq!(seen.step().status.phase, Phase::Ready);
    let gone = seen.step().actions;
    assert!(matches!(gone[..], [Action::DeleteCanary(_)]), "{gone:?}");
}

#[test]
fn what_was_installed_and_never_tried_is_not_labelled() {
    // The API server will not have the canary of an upgrade.
    let mut seen = ready();
    seen.goal.hash = "new".into();
    seen.step();
    seen.reports("install", "done", "Installed");
    seen.step();
    seen.job = JobState::Missing;
    assert_eq!(phase(&seen), Phase::Verifying);
    let next = rejected(&seen, "exceeded quota");
    assert_eq!(
        (&next.status.proof, next.status.phase),
        (&None, Phase::Failed)
    );
    seen.object.status = Some(next.status);
    assert!(seen.step().actions.contains(&Action::Label(Labels::None)));

    // Something else is asked for meanwhile, and has to wait.
    let mut seen = ready();
    seen.goal.hash = "new".into();
    seen.step();
    seen.reports("install", "done", "Installed");
    seen.goal.hash = "newer".into();
    seen.stopped = Some("another node failed".into());
    let next = seen.step();
    assert_eq!(
        (&next.status.proof, next.status.phase),
        (&None, Phase::Pending)
    );
    assert!(next.actions.contains(&Action::Label(Labels::None)));
}

#[test]
fn another_canary_that_is_refused_leaves_what_was_proven() {
    let mut seen = ready();
    seen.goal.canary_hash = Some("other".into());
    seen.step();
    assert_eq!(phase(&seen), Phase::Verifying);
    let next = rejected(&seen, "exceeded quota");
    assert!(next.status.proof.is_some());
    assert_eq!(condition(&next, DEGRADED), ("True", "CanaryRejected"));
}

#[test]
fn a_canary_of_an_earlier_boot_proves_nothing() {
    let mut seen = verifying();
    seen.canaries_are(&CanaryState::Succeeded);
    seen.node_mut().boot_id = "another".into();
    let next = seen.step();
    assert_eq!(
        (&next.status.proof, next.status.phase),
        (&None, Phase::Verifying)
    );
    assert!(matches!(&next.actions[..], [Action::CreateCanary { .. }]));
}
