//! The objects in full: what is asked of a cluster is reviewed as it will be sent.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use slipway_crds::node_shim::{Operation, Transaction};
use slipway_crds::{NodeShim, NodeShimSpec};

use super::*;
use crate::settings::{PodSettings, test_settings};

fn object() -> NodeShim {
    NodeShim {
        metadata: ObjectMeta {
            name: Some("worker.slipway".into()),
            uid: Some("uid".into()),
            ..ObjectMeta::default()
        },
        spec: NodeShimSpec {
            node_name: "worker".into(),
            shim: "slipway".into(),
        },
        status: None,
    }
}

fn transaction() -> Transaction {
    Transaction {
        number: 1,
        operation: Operation::Install,
        job: "slipway-install-abc".into(),
        goal: "goal".into(),
        start_time: Time(Timestamp::UNIX_EPOCH),
        verify_time: None,
    }
}

#[test]
fn installer_job() {
    let settings = test_settings();
    let object = object();
    let frame = Frame {
        object: &object,
        namespace: "kwasm",
        shim: &settings.shim,
    };
    insta::assert_yaml_snapshot!(job(&frame, &transaction()));
}

#[test]
fn canary_pod() {
    let settings = test_settings();
    let object = object();
    let frame = Frame {
        object: &object,
        namespace: "kwasm",
        shim: &settings.shim,
    };
    insta::assert_yaml_snapshot!(canary(&frame, "slipway-canary-abc", "wasmtime"));
}

#[test]
fn settings_reach_the_pods_but_never_our_own_labels() {
    let mut settings = test_settings();
    settings.shim.pod = serde_json::from_str::<PodSettings>(
        r#"{"imagePullSecrets":[{"name":"s"}],"tolerations":[{"key":"k","operator":"Exists"}],
            "priorityClassName":"high","resources":{"limits":{"memory":"1Gi"}},
            "labels":{"team":"a","app.kubernetes.io/managed-by":"someone"},"annotations":{"note":"b"}}"#,
    )
    .unwrap();
    let object = object();
    let frame = Frame {
        object: &object,
        namespace: "kwasm",
        shim: &settings.shim,
    };
    let template = job(&frame, &transaction()).spec.unwrap().template;
    let (metadata, spec) = (template.metadata.unwrap(), template.spec.unwrap());
    let all = metadata.labels.unwrap();
    assert_eq!(all["team"], "a");
    assert_eq!(all[labels::MANAGED_BY], labels::OPERATOR);
    assert_eq!(metadata.annotations.unwrap()["note"], "b");
    assert_eq!(spec.image_pull_secrets.unwrap()[0].name, "s");
    assert_eq!(spec.tolerations.unwrap()[0].key.as_deref(), Some("k"));
    assert_eq!(spec.priority_class_name.as_deref(), Some("high"));
    let pod = canary(&frame, "c", "wasmtime");
    assert_eq!(pod.spec.unwrap().image_pull_secrets.unwrap()[0].name, "s");
    assert_eq!(pod.metadata.labels.unwrap()["team"], "a");
}
