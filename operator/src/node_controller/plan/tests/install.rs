//! The installer's Job, and what comes of it.

use super::*;

#[test]
fn the_transaction_is_written_down_before_its_job_is_made() {
    let mut seen = fresh();
    let begin = seen.step();
    assert_eq!(begin.actions, []);
    let transaction = begin.status.transaction.unwrap();
    assert!(transaction.job.starts_with("slipway-install-") && transaction.job.len() <= 63);
    let make = seen.step();
    assert_eq!(
        make.actions,
        [Action::Mark(true), Action::CreateJob(transaction)]
    );
}

#[test]
fn every_bad_end_of_an_install_is_told_and_tried_again_later() {
    for (outcome, event, least_wait) in [
        ("refused", Reason::InstallRefused, 300),
        ("rolledBack", Reason::InstallRolledBack, 10),
        ("failed", Reason::InstallFailed, 10),
    ] {
        let mut seen = installing();
        seen.reports("install", outcome, "ConfigInvalid");
        let next = seen.step();
        assert_eq!(next.status.phase, Phase::Failed);
        assert_eq!(reasons(&next), [event]);
        assert!(next.events[0].note.contains("said ConfigInvalid"));
        assert_eq!(condition(&next, READY), ("False", "ConfigInvalid"));
        assert_eq!(condition(&next, DEGRADED), ("True", "ConfigInvalid"));
        assert_eq!(next.status.failures, 1);

        let wait = next.status.next_retry_time.unwrap().0.as_second() - NOW;
        assert!(wait >= least_wait, "{outcome}: {wait}");

        seen.later(wait - 1);
        assert_eq!(
            seen.step().status.phase,
            Phase::Failed,
            "not before its time"
        );
        seen.later(1);
        let again = seen.step();
        assert_eq!(again.status.phase, Phase::Installing);
        let transaction = again.status.transaction.unwrap();
        assert_eq!(transaction.number, 2);
    }
}

#[test]
fn a_silent_job_is_a_failure_that_may_have_changed_the_node() {
    let mut seen = installing();
    seen.job = JobState::Silent {
        message: "the installer ended without a report: exit code 137 (OOMKilled)".into(),
    };
    let next = seen.step();
    assert_eq!(condition(&next, READY), ("False", "NoReport"));
    assert_eq!(reasons(&next), [Reason::InstallFailed]);
    assert!(next.status.last_error.unwrap().contains("OOMKilled"));
}

#[test]
fn a_vanished_job_is_made_again_under_its_name() {
    let mut seen = installing();
    seen.step();
    let first = seen.step().actions;
    seen.job = JobState::Running { hint: None };
    assert_eq!(seen.step().actions, []);
    seen.job = JobState::Missing;
    assert_eq!(seen.step().actions, first);
}

#[test]
fn settings_that_change_before_the_job_is_made_begin_anew() {
    let mut seen = installing();
    let before = seen.object.status.clone().unwrap().transaction.unwrap();
    seen.goal.hash = "other".into();
    let next = seen.step();
    let after = next.status.transaction.unwrap();
    assert_ne!(before.job, after.job);
    assert_eq!(after.goal, "other");
}

#[test]
fn a_job_the_api_server_refuses_fails_the_transaction() {
    let seen = installing();
    let next = rejected(&seen, "exceeded quota");
    assert_eq!(next.status.phase, Phase::Failed);
    assert_eq!(condition(&next, READY), ("False", "JobRejected"));
    assert!(next.status.next_retry_time.is_some());
    let next = rejected(&verifying(), "exceeded quota");
    assert_eq!(condition(&next, READY), ("False", "CanaryRejected"));
    assert_eq!(
        next.status.last_error.unwrap(),
        "CanaryRejected: exceeded quota"
    );
}

#[test]
fn a_new_goal_ends_the_wait_after_a_refusal() {
    let mut seen = installing();
    seen.reports("install", "refused", "ConfigInvalid");
    seen.step();
    seen.goal.hash = "new".into();
    assert_eq!(seen.step().status.phase, Phase::Installing);
}

#[test]
fn what_failed_before_is_not_held_against_something_else() {
    let mut seen = installing();
    seen.reports("install", "failed", "Trouble");
    assert_eq!(seen.step().status.failures, 1);
    seen.later(60);
    assert_eq!(seen.clone().step().status.failures, 1, "the same again");
    seen.goal.hash = "new".into();
    assert_eq!(seen.step().status.failures, 0);
}

#[test]
fn files_that_cannot_be_had_leave_the_node_and_the_others_alone() {
    let mut seen = ready();
    seen.goal.hash = "new".into();
    seen.step();
    seen.job = JobState::Unfetched {
        message: "fetch: wrong sha256".into(),
    };
    let next = seen.step();
    assert_eq!(condition(&next, READY).0, "True", "what was proven stands");
    assert_eq!(condition(&next, DEGRADED), ("True", "FetchFailed"));
    assert_eq!(reasons(&next), [Reason::FetchFailed]);
    assert!(next.status.refused);
    assert!(next.status.next_retry_time.is_some());

    seen.job = JobState::Missing;
    assert_eq!(seen.step().status.phase, Phase::Failed, "not yet");
    seen.goal.address = Some("corrected".into());
    let next = seen.step();
    assert_eq!(
        (next.status.phase, next.status.failures),
        (Phase::Installing, 0)
    );
}

#[test]
fn only_a_refusal_is_marked_as_one() {
    for (outcome, refused) in [("refused", true), ("rolledBack", false), ("failed", false)] {
        let mut seen = installing();
        seen.reports("install", outcome, "Trouble");
        assert_eq!(seen.step().status.refused, refused, "{outcome}");
    }
}
