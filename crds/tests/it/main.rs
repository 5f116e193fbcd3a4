//! What the generated definitions must hold, whatever the derive macros make of the types.

use std::path::Path;

use serde_json::Value;
use slipway_crds::generate;

fn definition() -> Value {
    serde_json::to_value(&generate::definitions()[0]).expect("a definition is JSON")
}

fn schema() -> Value {
    definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
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
    let conditions = &schema()["properties"]["status"]["properties"]["conditions"];
    assert_eq!(conditions["x-kubernetes-list-type"], "map");
    assert_eq!(
        conditions["x-kubernetes-list-map-keys"],
        serde_json::json!(["type"])
    );
}

#[test]
fn the_spec_is_immutable_and_bounded() {
    let spec = &schema()["properties"]["spec"];
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
                for (name, child) in schema["properties"].as_object().into_iter().flatten() {
                    walk(&format!("{path}.{name}"), child, unbounded);
                }
            }
        }
    }
    let mut unbounded = Vec::new();
    for part in ["spec", "status"] {
        walk(part, &schema()["properties"][part], &mut unbounded);
    }
    assert!(unbounded.is_empty(), "{unbounded:?}");
}

#[test]
fn people_see_what_matters_first() {
    let version = &definition()["spec"]["versions"][0];
    let columns: Vec<_> = version["additionalPrinterColumns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            (
                c["name"].as_str().unwrap().to_owned(),
                c["priority"].as_i64().unwrap_or(0),
            )
        })
        .collect();
    let narrow: Vec<_> = columns
        .iter()
        .filter(|c| c.1 == 0)
        .map(|c| c.0.as_str())
        .collect();
    let wide: Vec<_> = columns
        .iter()
        .filter(|c| c.1 > 0)
        .map(|c| c.0.as_str())
        .collect();
    assert_eq!(
        narrow,
        ["Node", "Ready", "Phase", "Reason", "Containerd", "Age"]
    );
    assert_eq!(wide, ["Digest", "Message"]);
    assert_eq!(
        definition()["spec"]["names"]["shortNames"],
        serde_json::json!(["nsh"])
    );
    assert_eq!(
        definition()["spec"]["names"]["categories"],
        serde_json::json!(["wasm"])
    );
    assert_eq!(definition()["spec"]["scope"], "Cluster");
}
