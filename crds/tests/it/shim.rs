//! Which `Shim`s are admitted, and what is said of those that are not.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use slipway_crds::ShimSpec;

use super::{admission, schema};

/// A line of `crds/tests/shims/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What the refusal says; nothing where there is none.
    #[serde(default)]
    says: String,
    #[serde(default = "any_name")]
    name: String,
    spec: Value,
}

fn any_name() -> String {
    "spin".to_owned()
}

fn cases(file: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shims");
    let text = std::fs::read_to_string(folder.join(file)).expect("a table");
    serde_saphyr::from_str(&text).expect("cases")
}

fn refusals(name: &str, spec: &Value) -> Vec<String> {
    let object = json!({"metadata": {"name": name}, "spec": spec});
    admission::refusals(&schema("Shim"), &object)
}

#[test]
fn what_can_work_is_admitted_and_understood() {
    for Case { name, spec, .. } in cases("admitted.yaml") {
        let found = refusals(&name, &spec);
        assert!(found.is_empty(), "{name}: {spec}: {found:?}");
        let parsed: ShimSpec =
            serde_json::from_value(spec).expect("what is admitted is understood");
        let again: ShimSpec =
            serde_json::from_value(serde_json::to_value(&parsed).expect("a spec is JSON"))
                .expect("its own form");
        assert_eq!(parsed, again);
    }
}

#[test]
fn what_cannot_is_refused_with_a_sentence() {
    for Case { says, name, spec } in cases("refused.yaml") {
        let found = refusals(&name, &spec);
        assert!(
            found.len() == 1 && found[0].contains(&says) && !says.is_empty(),
            "{name}: {spec}: wanted {says:?}, found {found:?}"
        );
    }
}

/// Kubernetes' own rules for names refuse these before ours are asked.
#[test]
fn our_rule_for_names_is_no_wider_than_a_label_s() {
    let spec = json!({"source": {"bundled": {}}, "handlers": [{"name": "spin"}]});
    for name in ["Spin", "-a", "a-"] {
        let found = refusals(name, &spec);
        assert!(
            found.len() == 1 && found[0].contains("stands in node labels"),
            "{name}: {found:?}"
        );
    }
}
