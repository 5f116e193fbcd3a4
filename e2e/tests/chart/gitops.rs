//! `examples/gitops`: its values are the chart's, its objects have the definitions' form, and Argo CD's health check says what
//! the conditions say.

use std::fs;
use std::path::{Path, PathBuf};

use mlua::{Lua, LuaSerdeExt as _};
use serde_json::{Value, json};
use slipway_crds::{Shim, generate};
use slipway_e2e::helm;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/gitops")
        .join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(file(name)).expect("the file is there")
}

fn documents(name: &str) -> Vec<Value> {
    let text = read(name);
    let parts = text.split("\n---\n");
    parts
        .map(|part| serde_saphyr::from_str(part).expect("it is YAML"))
        .collect()
}

/// The object of this kind.
fn object(name: &str, kind: &str) -> Value {
    let mut all = documents(name).into_iter();
    all.find(|object| object["kind"] == kind)
        .expect("an object of this kind")
}

/// What the chart renders with these values; its schema refuses what it does not know.
async fn rendered(values: &Value) -> String {
    let file = tempfile::NamedTempFile::with_suffix(".json").expect("a file");
    fs::write(file.path(), values.to_string()).expect("it can be written");
    helm::template(&["--values", file.path().to_str().expect("UTF-8")])
        .await
        .expect("the chart renders")
}

#[tokio::test]
async fn the_values_are_the_charts() {
    let application = object("argocd/application.yaml", "Application");
    let release = object("flux/release.yaml", "HelmRelease");
    for (path, values) in [
        (
            &application["spec"]["source"]["path"],
            &application["spec"]["source"]["helm"]["valuesObject"],
        ),
        (
            &release["spec"]["chart"]["spec"]["chart"],
            &release["spec"]["values"],
        ),
    ] {
        assert_eq!(path, "charts/slipway");
        let text = rendered(values).await;
        for part in [
            "kind: Namespace\n",
            "name: slipway-nodes\n",
            "\"pool\": \"wasm\"",
        ] {
            assert!(text.contains(part), "{part} not in {text}");
        }
    }
}

#[test]
fn the_shim_has_the_definitions_form() {
    let shim: Shim = serde_json::from_value(object("argocd/shim.yaml", "Shim")).unwrap();
    let again = serde_json::to_value(&shim.spec).unwrap();
    assert_eq!(
        again,
        object("argocd/shim.yaml", "Shim")["spec"],
        "nothing was dropped"
    );
}

#[test]
fn flux_waits_for_what_there_is() {
    let kustomization = object("flux/kustomization.yaml", "Kustomization");
    let checks = kustomization["spec"]["healthChecks"].as_array().unwrap();
    let check = |kind: &str| checks.iter().find(|check| check["kind"] == kind).unwrap();
    let release = object("flux/release.yaml", "HelmRelease");
    let waited = check("HelmRelease");
    assert_eq!(waited["apiVersion"], release["apiVersion"]);
    assert_eq!(waited["name"], release["metadata"]["name"]);
    assert_eq!(waited["namespace"], release["metadata"]["namespace"]);
    let definitions = generate::definitions();
    let shim = definitions
        .iter()
        .find(|definition| definition.spec.names.kind == "Shim")
        .unwrap();
    let version = format!("{}/{}", shim.spec.group, shim.spec.versions[0].name);
    assert_eq!(check("Shim")["apiVersion"], version);
    assert_eq!(check("Shim")["name"], slipway_crds::BUNDLED_SHIM);
}

#[test]
fn both_kinds_have_the_health_check_that_is_tested() {
    let map: Value = serde_saphyr::from_str(&read("argocd/argocd-cm.yaml")).unwrap();
    let data = map["data"].as_object().unwrap();
    assert_eq!(data.len(), 2);
    for kind in ["Shim", "NodeShim"] {
        let key = format!("resource.customizations.health.slipway.dev_{kind}");
        assert_eq!(data[&key], read("argocd/health.lua"), "{kind}");
    }
}

/// What Argo CD would show: it gives the script the object as `obj` and takes a table with status and message.
fn health(object: &Value) -> (String, String) {
    let lua = Lua::new();
    lua.globals()
        .set("obj", lua.to_value(object).expect("it is JSON"))
        .expect("a global");
    let shown: mlua::Table = lua
        .load(read("argocd/health.lua"))
        .eval()
        .expect("the script runs");
    (
        shown.get("status").expect("a status"),
        shown.get("message").expect("a message"),
    )
}

#[test]
fn argo_cd_shows_what_the_conditions_say() {
    let object = |observed: i64, conditions: &[(&str, &str)]| {
        let conditions = conditions.iter().map(|(type_, status)| {
            json!({"type": type_, "status": status, "reason": "Why", "message": "as told"})
        });
        json!({
            "metadata": {"name": "slipway", "generation": 3},
            "status": {"observedGeneration": observed, "conditions": conditions.collect::<Vec<_>>()},
        })
    };
    let ready = ("Ready", "True");
    for (observed, conditions, shown) in [
        (
            3,
            &[ready, ("Progressing", "False"), ("Degraded", "False")][..],
            "Healthy",
        ),
        (2, &[ready], "Progressing"),
        (-1, &[], "Progressing"),
        (
            3,
            &[("Ready", "False"), ("Reconciling", "True")],
            "Progressing",
        ),
        (3, &[ready, ("Reconciling", "True")], "Progressing"),
        (
            3,
            &[
                ("Ready", "False"),
                ("Degraded", "True"),
                ("Stalled", "True"),
            ],
            "Degraded",
        ),
        (3, &[ready, ("Degraded", "True")], "Degraded"),
        (3, &[("Ready", "False")], "Progressing"),
    ] {
        let (status, message) = health(&object(observed, conditions));
        assert_eq!(status, shown, "{observed} {conditions:?}");
        assert!(!message.is_empty());
    }
    let (status, _) = health(&json!({"metadata": {"name": "new", "generation": 1}}));
    assert_eq!(status, "Progressing", "nobody has looked at it");
    let (_, message) = health(&object(3, &[("Stalled", "True")]));
    assert_eq!(message, "Why: as told");
}
