//! What the generated definitions must hold, whatever the derive macros make of the types.

use std::path::Path;

use serde_json::Value;
use slipway_crds::generate;

mod admission;
mod shim;

fn definition(kind: &str) -> Value {
    let all = generate::definitions();
    let of_kind = all.iter().find(|found| found.spec.names.kind == kind);
    serde_json::to_value(of_kind.expect("a definition of this kind")).expect("a definition is JSON")
}

fn schema(kind: &str) -> Value {
    definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Names of the columns of `kubectl get`, and of those that `-o wide` adds.
fn columns(kind: &str) -> (Vec<String>, Vec<String>) {
    let version = &definition(kind)["spec"]["versions"][0];
    let columns = version["additionalPrinterColumns"]
        .as_array()
        .expect("columns");
    let named = |wide: bool| {
        let fits = move |c: &&Value| (c["priority"].as_i64().unwrap_or(0) > 0) == wide;
        let name = |c: &Value| c["name"].as_str().expect("a name").to_owned();
        columns.iter().filter(fits).map(name).collect()
    };
    (named(false), named(true))
}

#[test]
fn generated_files_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let stale = generate::stale(root).unwrap();
    assert!(
        stale.is_empty(),
        "run `cargo run -p slipway-crds --bin crdgen -- --write`: {stale:?}"
    );
}

#[test]
fn conditions_merge_by_type() {
    for kind in ["NodeShim", "Shim"] {
        let conditions = &schema(kind)["properties"]["status"]["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-list-type"], "map");
        assert_eq!(
            conditions["x-kubernetes-list-map-keys"],
            serde_json::json!(["type"])
        );
    }
}

#[test]
fn an_object_that_was_not_looked_at_is_not_taken_for_done() {
    for kind in ["NodeShim", "Shim"] {
        let status = &schema(kind)["properties"]["status"];
        assert_eq!(
            status["default"],
            serde_json::json!({"observedGeneration": -1}),
            "{kind}"
        );
        assert_eq!(status["required"], Value::Null, "the default is valid");
    }
}

#[test]
fn the_spec_is_immutable_and_bounded() {
    let spec = &schema("NodeShim")["properties"]["spec"];
    assert_eq!(
        spec["x-kubernetes-validations"][0]["rule"],
        "self == oldSelf"
    );
    assert_eq!(spec["properties"]["nodeName"]["maxLength"], 253);
    assert_eq!(spec["properties"]["shim"]["maxLength"], 40);
}

#[test]
fn every_string_list_and_description_of_our_own_is_bounded() {
    fn walk(path: &str, schema: &Value, unbounded: &mut Vec<String>) {
        // Conditions and times are Kubernetes' own types.
        if path.contains(".conditions") {
            return;
        }
        match schema["type"].as_str() {
            Some("string") => {
                if schema["maxLength"].is_null()
                    && schema["format"].is_null()
                    && schema["enum"].is_null()
                {
                    unbounded.push(path.to_owned());
                }
            }
            Some("array") => {
                if schema["maxItems"].is_null() {
                    unbounded.push(path.to_owned());
                }
                walk(&format!("{path}[]"), &schema["items"], unbounded);
            }
            _ => {
                let keys = &schema["additionalProperties"];
                if !keys.is_null() || schema["x-kubernetes-preserve-unknown-fields"] == true {
                    if schema["maxProperties"].is_null() {
                        unbounded.push(path.to_owned());
                    }
                    walk(&format!("{path}.*"), keys, unbounded);
                }
                for (name, child) in schema["properties"].as_object().into_iter().flatten() {
                    walk(&format!("{path}.{name}"), child, unbounded);
                }
            }
        }
    }
    let mut unbounded = Vec::new();
    for kind in ["NodeShim", "Shim"] {
        for part in ["spec", "status"] {
            walk(
                &format!("{kind}.{part}"),
                &schema(kind)["properties"][part],
                &mut unbounded,
            );
        }
    }
    assert!(unbounded.is_empty(), "{unbounded:?}");
}

#[test]
fn people_see_what_matters_first() {
    let (narrow, wide) = columns("NodeShim");
    assert_eq!(
        narrow,
        ["Node", "Ready", "Phase", "Reason", "Containerd", "Age"]
    );
    assert_eq!(wide, ["Digest", "Message"]);
    let (narrow, wide) = columns("Shim");
    assert_eq!(
        narrow,
        ["Nodes", "Ready", "Reason", "Handlers", "Source", "Age"]
    );
    assert_eq!(wide, ["Message"]);
    for (kind, short) in [("NodeShim", "nsh"), ("Shim", "shim")] {
        let spec = &definition(kind)["spec"];
        assert_eq!(spec["names"]["shortNames"], serde_json::json!([short]));
        assert_eq!(spec["names"]["categories"], serde_json::json!(["wasm"]));
        assert_eq!(spec["scope"], "Cluster");
    }
}
