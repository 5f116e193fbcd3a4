//! Reading Jobs and pods as the API gives them.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use slipway_crds::node_shim::{Operation, Transaction};

use super::{Canary, CanaryState, JobState};

const REPORT: &str =
    r#"{"version":1,"operation":"install","outcome":"done","reason":"Installed","message":"well"}"#;

fn transaction() -> Transaction {
    Transaction {
        number: 1,
        operation: Operation::Install,
        job: "slipway-install-x".into(),
        goal: "g".into(),
        canary: None,
        address: None,
        start_time: Time(Timestamp::UNIX_EPOCH),
        verify_time: None,
    }
}

fn job(conditions: &Value) -> Job {
    serde_json::from_value(json!({
        "metadata": {"name": "slipway-install-x", "creationTimestamp": "1970-01-01T00:00:00Z"},
        "status": {"conditions": conditions},
    }))
    .unwrap()
}

fn finished() -> Job {
    job(
        &json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}]),
    )
}

fn pod(status: &Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap()
}

fn ended(code: i32, message: &str, at: &str) -> Pod {
    pod(&json!({"containerStatuses": [{
        "name": "installer", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": code, "reason": "Error", "message": message, "finishedAt": at}},
    }]}))
}

fn waiting(reason: &str) -> Pod {
    pod(&json!({"containerStatuses": [{
        "name": "installer", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": "because"}},
    }]}))
}

fn read(job: &Job, pods: &[Pod], second: i64) -> JobState {
    JobState::of(
        job,
        pods,
        &transaction(),
        Timestamp::from_second(second).unwrap(),
    )
}

#[test]
fn a_running_job_says_what_it_waits_for() {
    let running = job(&json!([]));
    let hint = |pods: &[Pod], second| match read(&running, pods, second) {
        JobState::Running { hint } => hint,
        other => panic!("{other:?}"),
    };
    assert_eq!(hint(&[], 5), None);
    assert!(hint(&[], 30).unwrap().contains("privileged"));
    assert_eq!(hint(&[waiting("ContainerCreating")], 30), None);
    assert_eq!(
        hint(&[waiting("ErrImagePull")], 30).unwrap(),
        "ErrImagePull: because"
    );
}

#[test]
fn the_newest_report_counts() {
    let killed = ended(137, "", "1970-01-01T00:00:10Z");
    let good = ended(0, REPORT, "1970-01-01T00:00:20Z");
    let done = job(&json!([{"type": "Complete", "status": "True"}]));
    for pods in [[killed.clone(), good.clone()], [good, killed]] {
        assert!(matches!(read(&done, &pods, 30), JobState::Reported(_)));
    }
}

#[test]
fn a_job_without_a_usable_report_is_silent_and_says_what_is_known() {
    for (pods, says) in [
        (vec![], "never ran: DeadlineExceeded: too long"),
        (
            vec![ended(137, "", "1970-01-01T00:00:10Z")],
            "exit code 137 (Error)",
        ),
        (
            vec![ended(101, "thread panicked", "1970-01-01T00:00:10Z")],
            "thread panicked",
        ),
        (
            vec![ended(5, REPORT, "1970-01-01T00:00:10Z")],
            "reports done but exited with 5",
        ),
    ] {
        match read(&finished(), &pods, 30) {
            JobState::Silent { message } => assert!(message.contains(says), "{message}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_failing_job_that_has_not_finished_is_still_running() {
    let failing = job(&json!([{"type": "FailureTarget", "status": "True"}]));
    assert!(matches!(read(&failing, &[], 5), JobState::Running { .. }));
}

#[test]
fn a_job_that_outlives_its_deadline_is_given_up() {
    // As it stands when the node's kubelet has died: its pod is terminating for ever (KEP-3939).
    let mut failing = job(&json!([{"type": "FailureTarget", "status": "True"}]));
    failing.spec =
        serde_json::from_value(json!({"activeDeadlineSeconds": 600, "template": {"metadata": {}}}))
            .unwrap();
    assert!(matches!(read(&failing, &[], 719), JobState::Running { .. }));
    let JobState::Silent { message } = read(&failing, &[], 721) else {
        panic!("nobody gives it up");
    };
    assert!(message.contains("121 s after its deadline"), "{message}");
}

#[test]
fn canaries_end_well_or_say_why_not() {
    let state = |status: &Value| Canary::of(&pod(status)).state;
    assert_eq!(
        state(&json!({"phase": "Succeeded"})),
        CanaryState::Succeeded
    );
    assert_eq!(
        state(&json!({"phase": "Pending"})),
        CanaryState::Running { hint: None }
    );
    let deadline = json!({"phase": "Failed", "reason": "DeadlineExceeded", "message": "too long"});
    let CanaryState::Failed { message } = state(&deadline) else {
        panic!("it failed");
    };
    assert_eq!(message, "DeadlineExceeded: too long");
    let exited = json!({"phase": "Failed", "containerStatuses": [{
        "name": "canary", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 126, "reason": "Error", "message": "unknown import"}},
    }]});
    let CanaryState::Failed { message } = state(&exited) else {
        panic!("it failed");
    };
    assert_eq!(message, "exit code 126 (Error): unknown import");
}

#[test]
fn files_that_were_not_to_be_had_say_why() {
    let failed = |message: &str| {
        pod(&json!({"phase": "Failed", "initContainerStatuses": [{
            "name": "fetch", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 3, "reason": "Error", "message": message}},
        }]}))
    };
    for (message, says) in [
        (r#"{"message":"wrong sha256"}"#, "fetch: wrong sha256"),
        ("404 Not Found", "fetch: 404 Not Found"),
        ("", "fetch: exit code 3"),
    ] {
        match read(&finished(), &[failed(message)], 30) {
            JobState::Unfetched { message } => assert_eq!(message, says),
            other => panic!("{other:?}"),
        }
    }
    let waits = pod(&json!({"initContainerStatuses": [{
        "name": "copy", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
    }]}));
    match read(&job(&json!([])), &[waits], 30) {
        JobState::Running { hint } => assert_eq!(hint.unwrap(), "ErrImagePull: no such image"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_is_up_when_its_container_is_ready() {
    let running = |ready: bool| {
        let pod = pod(&json!({"phase": "Running", "containerStatuses": [{
            "name": "canary", "image": "i", "imageID": "", "ready": ready, "restartCount": 0, "state": {},
        }]}));
        Canary::of(&pod).state
    };
    assert_eq!(running(true), CanaryState::Up);
    assert_eq!(running(false), CanaryState::Running { hint: None });
}
