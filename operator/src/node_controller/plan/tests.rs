//! A node's life, one observation at a time.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use slipway_crds::conditions::{DEGRADED, PROGRESSING, READY, RECONCILING, STALLED, find, is_true};
use slipway_crds::shim::CanarySuccess;
use slipway_crds::{NodeShim, NodeShimSpec, Shim};

use super::*;
use crate::goal::Goal;
use crate::node_controller::drift::Drift;
use crate::node_controller::observed::{CanaryState, JobState};
use crate::report::Report;
use crate::settings::test_settings;

const NOW: i64 = 1_000_000;

/// A node that is wanted, ready and has its turn; nothing done yet.
fn fresh() -> Observed {
    Observed {
        now: Timestamp::from_second(NOW).unwrap(),
        object: NodeShim {
            metadata: ObjectMeta {
                name: Some("n.slipway".into()),
                uid: Some("object-uid".into()),
                generation: Some(1),
                finalizers: Some(vec![labels::FINALIZER.into()]),
                ..ObjectMeta::default()
            },
            spec: NodeShimSpec {
                node_name: "n".into(),
                shim: "slipway".into(),
            },
            status: None,
        },
        node: Some(NodeFacts {
            name: "n".into(),
            uid: "node-uid".into(),
            boot_id: "boot".into(),
            runtime_version: "containerd://2.4.2".into(),
            ready: true,
            control_plane: false,
            architecture: "amd64".into(),
            unsupported: None,
            asked: Some(true),
            touched_by: BTreeSet::new(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
        }),
        shim: None,
        wanted: true,
        unsupported: None,
        stopped: None,
        taken: None,
        shared: false,
        job: JobState::Missing,
        canaries: Vec::new(),
        drifts: Vec::new(),
        users: Vec::new(),
        turn: true,
        goal: goal(&["wasmtime"]),
        conflicts: Vec::new(),
    }
}

fn goal(handlers: &[&str]) -> Goal {
    let handlers: Vec<_> = handlers.iter().map(|name| json!({"name": name})).collect();
    let spec = json!({"source": {"bundled": {}}, "handlers": handlers});
    let shim = Shim::new("slipway", serde_json::from_value(spec).unwrap());
    Goal {
        hash: "goal".into(),
        ..Goal::of(&shim, &test_settings().installer, "amd64")
    }
}

impl Observed {
    /// Plans, and takes the plan's status in as the API server would.
    fn step(&mut self) -> Plan {
        let next = plan(self);
        self.object.status = Some(next.status.clone());
        for action in &next.actions {
            if let (Action::Mark(on), Some(node)) = (action, &mut self.node) {
                node.touched_by = on.then(|| "slipway".to_owned()).into_iter().collect();
            }
            if let (Action::Label(which), Some(node)) = (action, &mut self.node) {
                for (key, value) in node.proven_labels("slipway") {
                    match which {
                        Labels::All => drop(node.labels.insert(key, value)),
                        Labels::Shared if key != "slipway.dev/slipway" => {}
                        Labels::Shared | Labels::None => drop(node.labels.remove(&key)),
                    }
                }
            }
            if let (Action::Untaint(startup), Some(node)) = (action, &mut self.node) {
                node.taints
                    .retain(|(key, effect)| !covers(startup, key, effect));
            }
        }
        next
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn node_mut(&mut self) -> &mut NodeFacts {
        self.node.as_mut().unwrap()
    }

    fn later(&mut self, seconds: i64) {
        self.now = Timestamp::from_second(self.now.as_second() + seconds).unwrap();
    }

    fn delete(&mut self) {
        self.object.metadata.deletion_timestamp = Some(Time(self.now));
    }

    fn reports(&mut self, operation: &str, outcome: &str, reason: &str) {
        let operation_is = if operation == "install" {
            Operation::Install
        } else {
            Operation::Uninstall
        };
        let code = i32::from(!matches!(outcome, "done" | "unchanged"));
        let text = format!(
            r#"{{"version":1,"operation":"{operation}","outcome":"{outcome}","reason":"{reason}","message":"said {reason}",
            "containerd":{{"version":"2.4.2","config":"/etc/containerd/conf.d/99-slipway.toml","method":"dropIn"}},
            "shim":{{"digest":"d","path":"/opt/slipway/d/containerd-shim-slipway-v1"}},"handlers":["wasmtime"],"restarted":true}}"#
        );
        self.job = JobState::Reported(Box::new(Report::parse(&text, operation_is, code).unwrap()));
    }

    /// Every wanted canary is in this state.
    fn canaries_are(&mut self, state: &CanaryState) {
        self.canaries = Draft::new(self)
            .wanted_canaries()
            .into_iter()
            .map(|(name, _)| Canary {
                name,
                state: state.clone(),
            })
            .collect();
    }
}

/// Runs `fresh` up to its installer Job.
fn installing() -> Observed {
    let mut seen = fresh();
    seen.step();
    assert_eq!(phase(&seen), Phase::Installing);
    seen
}

fn verifying() -> Observed {
    installing().with(|seen| {
        seen.reports("install", "done", "Installed");
        seen.step();
        seen.job = JobState::Missing;
        assert_eq!(phase(seen), Phase::Verifying);
    })
}

fn ready() -> Observed {
    verifying().with(|seen| {
        seen.canaries_are(&CanaryState::Succeeded);
        seen.step();
        assert_eq!(phase(seen), Phase::Ready);
        seen.canaries.clear();
    })
}

fn removing() -> Observed {
    ready().with(|seen| {
        seen.wanted = false;
        seen.delete();
        seen.step();
        assert_eq!(phase(seen), Phase::Removing);
    })
}

fn phase(seen: &Observed) -> Phase {
    seen.object.status.as_ref().unwrap().phase
}

fn reasons(plan: &Plan) -> Vec<Reason> {
    plan.events.iter().map(|event| event.reason).collect()
}

fn condition<'a>(plan: &'a Plan, type_: &str) -> (&'a str, &'a str) {
    let found = find(&plan.status.conditions, type_).unwrap();
    (&found.status, &found.reason)
}

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
fn a_new_goal_ends_the_wait_after_a_refusal() {
    let mut seen = installing();
    seen.reports("install", "refused", "ConfigInvalid");
    seen.step();
    seen.goal.hash = "new".into();
    assert_eq!(seen.step().status.phase, Phase::Installing);
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

#[test]
fn a_stopped_roll_out_removes_all_the_same() {
    let mut seen = ready();
    seen.stopped = Some("node a has failed".into());
    seen.wanted = false;
    seen.delete();
    assert_eq!(seen.step().status.phase, Phase::Removing);
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

#[path = "tests/lost.rs"]
mod lost;
