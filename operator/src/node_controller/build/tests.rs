//! The objects in full: what is asked of a cluster is reviewed as it will be sent.

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use slipway_crds::node_shim::{Operation, Transaction};
use slipway_crds::{NodeShim, NodeShimSpec, Shim};

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

fn goal(name: &str, spec: &str) -> Goal {
    let shim = Shim::new(name, serde_json::from_str(spec).unwrap());
    Goal::of(&shim, &test_settings().installer, "amd64")
}

fn bundled() -> Goal {
    goal(
        "slipway",
        r#"{"source":{"bundled":{}},"handlers":[{"name":"wasmtime"}]}"#,
    )
}

fn transaction() -> Transaction {
    Transaction {
        number: 1,
        operation: Operation::Install,
        job: "slipway-install-abc".into(),
        goal: "goal".into(),
        canary: None,
        address: None,
        start_time: Time(Timestamp::UNIX_EPOCH),
        verify_time: None,
    }
}

#[test]
fn installer_job() {
    let settings = test_settings();
    let (object, goal) = (object(), bundled());
    let frame = Frame {
        object: &object,
        namespace: "kwasm",
        goal: &goal,
        installer: &settings.installer,
    };
    insta::assert_yaml_snapshot!(job(&frame, &transaction()));
}

#[test]
fn canary_pod() {
    let settings = test_settings();
    let (object, goal) = (object(), bundled());
    let frame = Frame {
        object: &object,
        namespace: "kwasm",
        goal: &goal,
        installer: &settings.installer,
    };
    insta::assert_yaml_snapshot!(canary(&frame, "slipway-canary-abc", "wasmtime"));
}

#[test]
fn settings_reach_the_pods_but_never_our_own_labels() {
    let mut settings = test_settings();
    settings.installer.pod = serde_json::from_str::<PodSettings>(
        r#"{"imagePullSecrets":[{"name":"s"}],"tolerations":[{"key":"k","operator":"Exists"}],
            "priorityClassName":"high","resources":{"limits":{"memory":"1Gi"}},
            "labels":{"team":"a","app.kubernetes.io/managed-by":"someone"},"annotations":{"note":"b"}}"#,
    )
    .unwrap();
    let (object, goal) = (object(), bundled());
    let frame = Frame {
        object: &object,
        namespace: "kwasm",
        goal: &goal,
        installer: &settings.installer,
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

fn job_of(name: &str, spec: &str, operation: Operation) -> PodSpec {
    let mut settings = test_settings();
    settings.installer.pod.fetch_ca = "company-ca".into();
    settings.installer.pod.fetch_env =
        serde_json::from_str(r#"[{"name":"HTTPS_PROXY","value":"http://proxy.test:3128"}]"#)
            .unwrap();
    let (object, goal) = (object(), goal(name, spec));
    let frame = Frame {
        object: &object,
        namespace: "kwasm",
        goal: &goal,
        installer: &settings.installer,
    };
    let transaction = Transaction {
        operation,
        ..transaction()
    };
    job(&frame, &transaction)
        .spec
        .unwrap()
        .template
        .spec
        .unwrap()
}

const URL: &str = r#"{"source":{"url":{"binary":"containerd-shim-spin-v2","platforms":[
    {"platform":"linux/arm64","url":"https://mirror.test/arm","sha256":"00"},
    {"platform":"linux/amd64","url":"https://mirror.test/amd","sha256":"11"}]}},
    "handlers":[{"name":"spin","options":{"a":1}}]}"#;

#[test]
fn a_shim_from_a_url_is_fetched_without_rights() {
    insta::assert_yaml_snapshot!(job_of("spin", URL, Operation::Install));
}

#[test]
fn a_shim_from_an_image_is_copied_by_our_own_program() {
    let spec = r#"{"source":{"image":{"reference":"mirror.test/spin:1","path":"/bin","binary":"containerd-shim-spin-v2",
        "pullSecrets":[{"name":"pull"}]}},"handlers":[{"name":"spin"}]}"#;
    insta::assert_yaml_snapshot!(job_of("spin", spec, Operation::Install));
}

/// What docs/security.md says of the installer's pods.
#[test]
fn only_the_installer_itself_has_power_over_the_node() {
    let image = r#"{"source":{"image":{"reference":"mirror.test/spin:1","binary":"x"}},"handlers":[{"name":"spin"}]}"#;
    let bundled = r#"{"source":{"bundled":{}},"handlers":[{"name":"spin"}]}"#;
    for (spec, operation) in [
        (URL, Operation::Install),
        (image, Operation::Install),
        (bundled, Operation::Install),
        (URL, Operation::Uninstall),
    ] {
        let pod = job_of("spin", spec, operation);
        assert_eq!(pod.automount_service_account_token, Some(false));
        assert_eq!((pod.host_network, pod.host_ipc), (None, None));
        let before = pod.init_containers.unwrap_or_default();
        for container in before.iter().chain(&pod.containers) {
            let is_installer = container.name == "installer";
            let rights = container.security_context.as_ref().unwrap();
            assert_eq!(rights.read_only_root_filesystem, Some(true));
            assert_eq!(rights.privileged == Some(true), is_installer);
            assert_eq!(rights.run_as_non_root == Some(true), !is_installer);
            let added = rights
                .capabilities
                .as_ref()
                .and_then(|all| all.add.as_ref());
            assert_eq!(added, None);
            let mounts = container.volume_mounts.iter().flatten();
            let sees_host = mounts.clone().any(|mount| mount.name == "host");
            assert_eq!(sees_host, is_installer, "{}", container.name);
        }
    }
}

#[test]
fn an_adopted_shim_and_an_uninstall_need_no_files() {
    let adopt = r#"{"source":{"adopt":{"path":"/usr/bin/containerd-shim-spin-v2"}},"handlers":[{"name":"spin"}]}"#;
    let pod = job_of("spin", adopt, Operation::Install);
    assert_eq!(pod.init_containers, None);
    let installer = &pod.containers[0];
    let spec = installer.env.as_ref().unwrap()[0].value.as_deref();
    assert_eq!(
        spec,
        Some(r#"{"adopt":"/usr/bin/containerd-shim-spin-v2","handlers":[{"name":"spin"}]}"#)
    );
    assert!(
        installer
            .args
            .as_ref()
            .unwrap()
            .contains(&"--shim=spin".to_owned())
    );

    let pod = job_of("spin", URL, Operation::Uninstall);
    assert_eq!(pod.init_containers, None);
    assert_eq!(pod.containers[0].env, None);
    assert_eq!(pod.volumes.unwrap().len(), 1);
    assert_eq!(
        pod.containers[0].args.as_ref().unwrap().last().unwrap(),
        "--shim=spin"
    );
}

#[test]
fn a_canary_of_the_users_own() {
    let spec = r#"{"source":{"bundled":{}},"handlers":[{"name":"spin"}],
        "canary":{"image":"mirror.test/app:1","command":["/"],"success":"Running"}}"#;
    let (settings, object, goal) = (test_settings(), object(), goal("spin", spec));
    let frame = Frame {
        object: &object,
        namespace: "kwasm",
        goal: &goal,
        installer: &settings.installer,
    };
    let pod = canary(&frame, "c", "spin").spec.unwrap();
    assert_eq!(
        pod.containers[0].image.as_deref(),
        Some("mirror.test/app:1")
    );
    assert_eq!(pod.containers[0].command, Some(vec!["/".to_owned()]));
    assert_eq!(pod.containers[0].image_pull_policy, None);
}
