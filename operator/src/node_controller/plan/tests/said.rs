//! What conditions, events and the status say.

use super::*;

#[test]
fn ready_says_so_in_conditions_status_and_events() {
    let mut seen = verifying();
    seen.canaries_are(&CanaryState::Succeeded);
    let next = seen.step();
    assert_eq!(condition(&next, READY), ("True", "Verified"));
    assert_eq!(condition(&next, PROGRESSING).0, "False");
    assert_eq!(condition(&next, DEGRADED).0, "False");
    assert_eq!(reasons(&next), [Reason::WasmReady]);
    let installed = next.status.installed.unwrap();
    assert_eq!(installed.containerd_version.as_deref(), Some("2.4.2"));
    assert_eq!(installed.method.as_deref(), Some("dropIn"));
    assert_eq!(next.status.last_report.unwrap().outcome, "done");
}

#[test]
fn what_the_installer_notes_is_kept_and_told_once() {
    let noted = |seen: &mut Observed, outcome: &str, notes: &[&str]| {
        seen.reports("install", outcome, "Reason");
        let JobState::Reported(report) = &mut seen.job else {
            unreachable!("it has just reported");
        };
        report.notes = notes.iter().map(|note| (*note).to_owned()).collect();
        seen.step()
    };
    let mut seen = installing();
    let next = noted(&mut seen, "refused", &["/opt/kwasm is left", "and more"]);
    assert_eq!(reasons(&next), [Reason::Noted, Reason::InstallRefused]);
    assert_eq!(next.events[0].note, "/opt/kwasm is left; and more");
    assert_eq!(next.status.last_report.unwrap().notes.len(), 2);
    for (notes, told) in [
        (
            &["/opt/kwasm is left", "and more"][..],
            vec![Reason::InstallRefused],
        ),
        (
            &["something else"],
            vec![Reason::Noted, Reason::InstallRefused],
        ),
        (&[], vec![Reason::InstallRefused]),
    ] {
        seen.later(10_000);
        seen.step();
        let next = noted(&mut seen, "refused", notes);
        assert_eq!(reasons(&next), told, "{notes:?}");
    }
}

/// What kstatus makes of it (`checkGenericProperties` and `checkReadyCondition` of
/// cli-utils/pkg/kstatus/status, as Flux uses it).
fn kstatus(plan: &Plan) -> &'static str {
    let all = &plan.status.conditions;
    let is = |type_: &str| is_true(all, type_);
    assert!(!(is(RECONCILING) && is(STALLED)), "{all:?}");
    match (is(RECONCILING), is(STALLED), is(READY)) {
        (true, _, _) => "InProgress",
        (_, true, _) => "Failed",
        (_, _, true) => "Current",
        _ => "InProgress",
    }
}

#[test]
fn who_reads_kstatus_is_told_the_truth_all_along() {
    let mut seen = fresh();
    assert_eq!(kstatus(&seen.step()), "InProgress");
    seen.reports("install", "done", "Installed");
    assert_eq!(kstatus(&seen.step()), "InProgress", "it is not proven");
    seen.canaries_are(&CanaryState::Succeeded);
    assert_eq!(kstatus(&seen.step()), "Current");
    seen.canaries.clear();

    seen.goal.hash = "new".into();
    assert_eq!(kstatus(&seen.step()), "InProgress", "an upgrade");
    seen.reports("install", "rolledBack", "ContainerdNotReady");
    assert_eq!(kstatus(&seen.step()), "Failed");
    seen.later(60);
    let again = seen.step();
    assert_eq!(again.status.phase, Phase::Installing);
    assert_eq!(kstatus(&again), "Failed", "a try is no progress");
    let stalled = find(&again.status.conditions, STALLED).unwrap();
    assert_eq!(stalled.reason, "Retrying");
    assert!(stalled.message.contains("ContainerdNotReady"));
    let mut better = seen.clone();
    better.goal.hash = "better".into();
    better.job = JobState::Missing;
    assert_eq!(kstatus(&better.step()), "InProgress", "something else");
    seen.reports("install", "done", "Installed");
    seen.step();
    seen.canaries_are(&CanaryState::Succeeded);
    assert_eq!(kstatus(&seen.step()), "Current");
}

#[test]
fn what_waits_for_others_is_in_progress_and_what_was_stopped_is_not() {
    for (change, wanted) in [
        (
            (|seen| seen.turn = false) as fn(&mut Observed),
            "InProgress",
        ),
        (|seen| seen.node_mut().ready = false, "InProgress"),
        (|seen| seen.stopped = Some("node a".into()), "Failed"),
        (|seen| seen.taken = Some("another's".into()), "Failed"),
        (|seen| seen.unsupported = Some("s390x".into()), "Failed"),
    ] {
        assert_eq!(kstatus(&fresh().with(change).step()), wanted);
    }
}

#[test]
fn a_ready_node_rests() {
    let mut seen = ready();
    seen.step();
    let next = seen.step();
    assert_eq!(next.actions, []);
    assert_eq!(next.events, []);
    assert_eq!(Some(next.status), seen.object.status);
}

#[test]
fn what_holds_a_node_back_is_said() {
    for (change, reason) in [
        (
            (|seen| seen.turn = false) as fn(&mut Observed),
            "WaitingForTurn",
        ),
        (|seen| seen.node_mut().ready = false, "NodeNotReady"),
    ] {
        let mut seen = fresh().with(change);
        let next = seen.step();
        assert_eq!(next.status.phase, Phase::Pending);
        assert_eq!(condition(&next, READY), ("False", reason));
        assert!(next.status.transaction.is_none());
        assert!(next.requeue.is_some());
    }
}

#[test]
fn objects_that_cannot_be_served_say_why_and_rest() {
    for (change, reason) in [
        (
            (|seen| seen.object.metadata.name = Some("odd".into())) as fn(&mut Observed),
            "WrongName",
        ),
        (
            |seen| seen.taken = Some("handler wasmtime belongs to Shim other".into()),
            "HandlerTaken",
        ),
        (
            |seen| seen.unsupported = Some("architecture s390x".into()),
            "UnsupportedNode",
        ),
        (|seen| seen.goal.told = 65 << 10, "SpecTooLarge"),
    ] {
        let mut seen = fresh().with(change);
        let next = seen.step();
        assert_eq!(next.status.phase, Phase::Failed);
        assert_eq!(condition(&next, READY), ("False", reason));
        assert_eq!((next.actions, next.requeue), (vec![], None));
        assert_eq!(seen.step().events, [], "said once");
    }
}

#[test]
fn what_holds_a_job_up_is_in_the_condition() {
    let mut seen = installing();
    seen.job = JobState::Running {
        hint: Some("ImagePullBackOff: no such image".into()),
    };
    let next = seen.step();
    let message = &find(&next.status.conditions, READY).unwrap().message;
    assert!(message.contains("ImagePullBackOff"), "{message}");
}

#[test]
fn a_conflicting_runtime_class_degrades_but_does_not_unready() {
    let mut seen = verifying();
    seen.canaries_are(&CanaryState::Succeeded);
    seen.conflicts = vec!["RuntimeClass wasmtime has handler x".into()];
    let next = seen.step();
    assert_eq!(condition(&next, READY).0, "True");
    assert_eq!(condition(&next, DEGRADED), ("True", "RuntimeClassConflict"));
    assert!(reasons(&next).contains(&Reason::RuntimeClassConflict));
}

#[test]
fn a_stopped_roll_out_is_said_and_begins_nothing() {
    let stop = |seen: &mut Observed| seen.stopped = Some("node a has failed: CanaryFailed".into());
    let mut seen = fresh().with(stop);
    let next = seen.step();
    assert_eq!(next.status.phase, Phase::Pending);
    assert_eq!(condition(&next, READY), ("False", "RolloutStopped"));
    assert!(next.requeue.is_some());

    // An upgrade that is stopped leaves the node as it is proven.
    let mut seen = ready().with(stop);
    seen.goal.hash = "new".into();
    let next = seen.step();
    assert_eq!(next.actions, []);
    assert_eq!(condition(&next, READY), ("True", "Verified"));
    assert_eq!(condition(&next, PROGRESSING), ("True", "RolloutStopped"));
    seen.stopped = None;
    assert_eq!(seen.step().status.phase, Phase::Installing);
}
