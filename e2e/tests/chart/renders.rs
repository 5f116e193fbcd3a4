//! What is rendered for which values.

use insta::assert_snapshot;
use serde_json::json;
use slipway_e2e::helm;

/// Rendered documents in a fixed form: helm's versions differ in blank lines and in order. Definitions are
/// left to the golden copy in `crds/yaml`, so only their head is shown.
async fn render(args: &[&str]) -> String {
    let text = helm::template(args).await.expect("the chart renders");
    let mut documents: Vec<String> = text
        .split("\n---\n")
        .map(|document| document.trim().trim_start_matches("---\n").to_owned())
        .filter(|document| !document.is_empty())
        .map(|document| match document.split_once("\nspec:") {
            Some((head, _)) if document.contains("kind: CustomResourceDefinition") => {
                format!("{head}\n# spec as in crds/yaml")
            }
            _ => document,
        })
        .collect();
    documents.sort();
    documents.join("\n---\n")
}

/// The lines that name an image or hand the installer's on.
async fn images(args: &[&str]) -> String {
    let text = helm::template(args).await.expect("the chart renders");
    let lines: Vec<&str> = text.lines().collect();
    let named = lines.iter().enumerate().filter_map(|(index, line)| {
        let after_name = index > 0 && lines[index - 1].ends_with("name: INSTALLER_IMAGE");
        (line.contains(" image: ") || after_name).then(|| line.trim())
    });
    named.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn defaults() {
    assert_snapshot!(render(&[]).await);
}

#[tokio::test]
async fn everything_set() {
    assert_snapshot!(
        render(&[
            "--set", "fullnameOverride=wasm,replicaCount=1,commonLabels.team=a",
            "--set", "image.registry=registry.test:5000/mirror,image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "--set", "imagePullSecrets[0].name=pull,installer.image.tag=v9",
            "--set", "installer.resources.limits.memory=64Mi,installer.priorityClassName=system-node-critical",
            "--set", "installer.tolerations[0].key=wasm,installer.tolerations[0].operator=Exists",
            "--set", "installer.podLabels.b=c,installer.podAnnotations.d=e,installer.maxConcurrent=3",
            "--set", "handlers[0]=wasmtime,handlers[1].name=spin,handlers[1].options.mode=spin,logFormat=json,logLevel=debug",
            "--set", "handlers[1].runtimeClass.name=wasmtime-spin-v2,handlers[1].runtimeClass.overhead.podFixed.memory=4Mi",
            "--set", "shim.nodeSelector.matchLabels.pool=wasm,shim.rollout.maxUnavailable=2,shim.rollout.stopOnFailure=false",
            "--set", "shim.startupTaints[0].key=slipway.dev/starting,shim.localImagePull=true,shim.leftovers=Remove",
            "--set", "installer.fetch.caConfigMap=company-ca,installer.fetch.env[0].name=HTTPS_PROXY,installer.fetch.env[0].value=http://p.test",
            "--set", "serviceMonitor.enabled=true,serviceMonitor.labels.release=prometheus,cleanup.timeoutSeconds=600",
            "--set", "crds.keep=false,networkPolicy.enabled=true,serviceAccount.name=op,watch.resources.limits.memory=64Mi",
            "--set", "extraEnv[0].name=HTTPS_PROXY,extraEnv[0].value=http://proxy.test:3128",
            "--set", "podLabels.f=g,podAnnotations.h=i,priorityClassName=system-cluster-critical",
            "--set", "installer.namespace=nodes,installer.createNamespace=true,installer.imagePullSecrets[0].name=nodes-pull",
            "--set", "priorityClass.create=true,priorityClass.name=wasm",
            "--set", "service.type=NodePort,service.port=80,service.annotations.j=k",
        ])
        .await
    );
}

/// The settings of installer and canary pods, as the operator will read them.
async fn installer_pod(args: &[&str]) -> serde_json::Value {
    let mut all = vec!["--show-only", "templates/deployment.yaml"];
    all.extend(args);
    let text = render(&all).await;
    let mut lines = text
        .lines()
        .skip_while(|line| !line.contains("SLIPWAY_INSTALLER_POD"));
    let value = lines.nth(1).expect("its value").trim();
    let quoted = value.strip_prefix("value: ").expect("a value");
    let json: String = serde_json::from_str(quoted).expect("a string");
    serde_json::from_str(&json).expect("it is JSON")
}

#[tokio::test]
async fn installers_may_have_a_namespace_of_their_own() {
    let own = [
        "--set",
        "installer.namespace=slipway-nodes,installer.createNamespace=true",
    ];
    let rbac = [&own[..], &["--show-only", "templates/rbac.yaml"]].concat();
    assert_snapshot!(render(&rbac).await);
    let namespace = [
        &own[..],
        &["--show-only", "templates/installer-namespace.yaml"],
    ]
    .concat();
    assert_snapshot!(render(&namespace).await);
    let text = render(&own).await;
    let name = "- name: SLIPWAY_INSTALLER_NAMESPACE\n              value: \"slipway-nodes\"";
    assert!(text.contains(name), "{text}");
    let text = render(&[]).await;
    assert!(!text.contains("kind: Namespace"), "only when asked for");
    assert!(!text.contains("SLIPWAY_INSTALLER_NAMESPACE"));
}

#[tokio::test]
async fn installer_pods_have_what_the_values_say() {
    assert_eq!(installer_pod(&[]).await, json!({}));
    let secrets = "imagePullSecrets[0].name=both";
    let pod = installer_pod(&["--set", secrets]).await;
    assert_eq!(pod, json!({"imagePullSecrets": [{"name": "both"}]}));
    let own = "installer.imagePullSecrets[0].name=own";
    let pod = installer_pod(&["--set", secrets, "--set", own]).await;
    assert_eq!(pod, json!({"imagePullSecrets": [{"name": "own"}]}));
    let amounts = "installer.resources.limits.cpu=1,installer.resources.requests.memory=64Mi";
    let pod = installer_pod(&["--set", amounts]).await;
    let wanted = json!({"resources": {"limits": {"cpu": "1"}, "requests": {"memory": "64Mi"}}});
    assert_eq!(pod, wanted, "text, as the API has it");
}

#[tokio::test]
async fn one_priority_class_for_all_pods_that_name_no_other() {
    let make = [
        "--set",
        "priorityClass.create=true,priorityClass.value=1000",
    ];
    let class = [&make[..], &["--show-only", "templates/priorityclass.yaml"]].concat();
    assert_snapshot!(render(&class).await);
    assert_eq!(
        installer_pod(&make).await,
        json!({"priorityClassName": "kwasm-operator-slipway"})
    );
    let named = "priorityClass.name=wasm,installer.priorityClassName=system-node-critical";
    let named = [&make[..], &["--set", named]].concat();
    assert_eq!(
        installer_pod(&named).await,
        json!({"priorityClassName": "system-node-critical"})
    );
    for template in ["templates/deployment.yaml", "templates/cleanup.yaml"] {
        let args = [&named[..], &["--show-only", template]].concat();
        assert!(render(&args).await.contains("priorityClassName: wasm\n"));
    }
    assert!(!render(&[]).await.contains("PriorityClass"));
}

#[tokio::test]
async fn rbac_is_exactly_what_is_used() {
    assert_snapshot!(render(&["--show-only", "templates/rbac.yaml"]).await);
}

#[tokio::test]
async fn parts_can_be_left_to_others() {
    let text = render(&[
        "--set",
        "rbac.create=false,crds.enabled=false,podDisruptionBudget.enabled=false,cleanup.enabled=false,shim.enabled=false",
        "--set",
        "watch.enabled=false,serviceAccount.create=false,serviceAccount.name=mine",
    ])
    .await;
    let kinds: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("kind: "))
        .collect();
    assert_eq!(kinds, ["kind: Deployment", "kind: Service", "kind: Pod"]);
    assert!(text.contains("serviceAccountName: mine"));
    assert!(!text.contains("SLIPWAY_DEFAULT_SHIM"), "{text}");
}

/// The default Shim, as the operator will read it.
async fn default_shim(args: &[&str]) -> serde_json::Value {
    let mut all = vec!["--show-only", "templates/default-shim.yaml"];
    all.extend(args);
    let text = helm::template(&all).await.expect("the chart renders");
    let (_, json) = text.split_once("spec.json: |").expect("the key");
    serde_json::from_str(json).expect("it is JSON")
}

#[tokio::test]
async fn values_become_a_shim() {
    let shim = default_shim(&[]).await;
    assert_eq!(
        shim,
        json!({
            "source": {"bundled": {}},
            "handlers": [{"name": "wasmtime"}],
            "rollout": {"type": "Rolling", "maxUnavailable": 1, "stopOnFailure": true},
        })
    );
    let shim = default_shim(&["--set", "shim.rollout.type=Recreate,handlers={a,b}"]).await;
    assert_eq!(shim["rollout"], json!({"type": "Recreate"}));
    assert_eq!(shim["handlers"], json!([{"name": "a"}, {"name": "b"}]));
}

#[tokio::test]
async fn the_operator_starts_anew_when_the_default_shim_changes() {
    let sum = async |args: &[&str]| {
        let text = render(args).await;
        let mut lines = text.lines().map(str::trim);
        let found = lines.find(|line| line.starts_with("checksum/default-shim:"));
        found.expect("a checksum").to_owned()
    };
    let before = sum(&[]).await;
    assert_eq!(sum(&["--set", "replicaCount=3"]).await, before);
    assert_ne!(
        sum(&["--set", "shim.rollout.maxUnavailable=2"]).await,
        before
    );
}

#[tokio::test]
async fn the_first_handler_names_the_class_of_the_notes_and_the_test() {
    for (set, class) in [
        ("handlers={spin}", "spin"),
        ("handlers[0].name=spin", "spin"),
        (
            "handlers[0].name=spin,handlers[0].runtimeClass.name=wasmtime-spin-v2",
            "wasmtime-spin-v2",
        ),
    ] {
        let args = ["--set", set, "--show-only", "templates/tests/wasm-pod.yaml"];
        let text = render(&args).await;
        assert!(
            text.contains(&format!("runtimeClassName: {class}\n")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn nodes_are_cleaned_before_anything_is_deleted() {
    let text = render(&["--show-only", "templates/cleanup.yaml"]).await;
    assert_snapshot!(text);
}

/// The pods' labels of a template, by the line they stand in.
async fn pod_labels(template: &str) -> Vec<String> {
    let text = render(&["--show-only", template]).await;
    let (_, pod) = text.split_once("\n  template:").expect("a pod template");
    let (labels, _) = pod.split_once("\n    spec:").expect("a pod");
    let labels = labels.lines().map(str::trim);
    labels
        .filter(|line| line.starts_with("app.kubernetes.io/"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn the_network_policy_is_for_the_operator_and_for_who_cleans_up() {
    let text = render(&[
        "--set",
        "networkPolicy.enabled=true,networkPolicy.apiServerPorts={8443}",
        "--show-only",
        "templates/networkpolicy.yaml",
    ])
    .await;
    assert_snapshot!(text);
    for (template, component) in [
        ("templates/deployment.yaml", "operator"),
        ("templates/cleanup.yaml", "cleanup"),
    ] {
        let labels = pod_labels(template).await;
        for label in [
            "app.kubernetes.io/name: slipway",
            "app.kubernetes.io/instance: kwasm-operator",
            &format!("app.kubernetes.io/component: {component}"),
        ] {
            assert!(
                labels.iter().any(|found| found == label),
                "{template}: {labels:?}"
            );
        }
        assert!(text.contains(component), "{text}");
    }
}

#[tokio::test]
async fn kwasm_names_of_values_are_understood() {
    let text = render(&[
        "--set",
        "kwasmOperator.autoProvision=true,kwasmOperator.installerImage=mirror.test/installer:1",
        "--show-only",
        "templates/deployment.yaml",
    ])
    .await;
    assert!(
        text.contains("- name: AUTO_PROVISION_NODES\n              value: \"true\""),
        "{text}"
    );
    assert!(
        text.contains("- name: INSTALLER_IMAGE\n              value: \"mirror.test/installer:1\"")
    );
}

#[tokio::test]
async fn images_follow_registry_tag_and_digest() {
    assert_snapshot!(images(&[]).await, @r#"
    image: "slipway/node-installer:0.1.0"
    image: "slipway/operator:0.1.0"
    value: "slipway/node-installer:0.1.0"
    image: "slipway/node-installer:0.1.0"
    image: "slipway/operator:0.1.0"
    "#);
    let mirror = [
        "--set",
        "image.registry=mirror.test,image.tag=a,installer.image.tag=b",
    ];
    assert_snapshot!(images(&mirror).await, @r#"
    image: "mirror.test/slipway/node-installer:b"
    image: "mirror.test/slipway/operator:a"
    value: "mirror.test/slipway/node-installer:b"
    image: "mirror.test/slipway/node-installer:b"
    image: "mirror.test/slipway/operator:a"
    "#);
    let own = [
        "--set",
        "image.registry=mirror.test,installer.image.registry=own.test",
    ];
    assert_snapshot!(images(&own).await, @r#"
    image: "own.test/slipway/node-installer:0.1.0"
    image: "mirror.test/slipway/operator:0.1.0"
    value: "own.test/slipway/node-installer:0.1.0"
    image: "own.test/slipway/node-installer:0.1.0"
    image: "mirror.test/slipway/operator:0.1.0"
    "#);
}
