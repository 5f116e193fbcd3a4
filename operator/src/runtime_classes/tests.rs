//! What is made, changed, kept and removed, by what there is.

use serde_json::{Value, json};

use super::objects::base;
use super::*;

#[expect(
    clippy::needless_pass_by_value,
    reason = "every caller makes it on the spot"
)]
fn shim(name: &str, made: &str, handlers: Value) -> Arc<Shim> {
    let object = json!({
        "metadata": {"name": name, "creationTimestamp": made},
        "spec": {"source": {"bundled": {}}, "handlers": handlers},
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn slipway() -> Arc<Shim> {
    shim(
        "slipway",
        "2026-01-01T00:00:00Z",
        json!([{"name": "wasmtime"}]),
    )
}

fn node(handlers: &[&str]) -> Arc<NodeShim> {
    let object = json!({
        "metadata": {"name": "worker-slipway"},
        "spec": {"nodeName": "worker", "shim": "slipway"},
        "status": {"installed": {"handlers": handlers}},
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn users_class(shim: &Shim) -> RuntimeClass {
    for_users(shim, &shim.spec.handlers[0])
}

fn theirs(name: &str, handler: &str) -> Arc<RuntimeClass> {
    let mut class = base(name.into(), handler, "x");
    class.metadata.labels = None;
    Arc::new(class)
}

fn names(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            Change::Apply(class) => format!("apply {}", class.name_any()),
            Change::Delete(name) => format!("delete {name}"),
        })
        .collect()
}

#[test]
fn users_classes_come_first_canaries_with_the_first_node() {
    let shims = [slipway()];
    assert_eq!(names(&changes(&shims, &[], &[])), ["apply wasmtime"]);
    assert_eq!(
        names(&changes(&shims, &[node(&[])], &[])),
        ["apply slipway-canary-wasmtime", "apply wasmtime"]
    );
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    let shims = [slipway()];
    let found = [
        Arc::new(users_class(&shims[0])),
        Arc::new(for_canaries("wasmtime")),
    ];
    assert_eq!(changes(&shims, &[node(&[])], &found), []);
    assert_eq!(
        names(&changes(&shims, &[], &found)),
        ["delete slipway-canary-wasmtime"]
    );
    assert_eq!(changes(&[], &[], &found).len(), 2, "no Shim, no classes");
}

#[test]
fn a_users_class_is_never_overwritten() {
    let shims = [slipway()];
    let agrees = [theirs("wasmtime", "wasmtime")];
    assert_eq!(changes(&shims, &[], &agrees), []);
    assert_eq!(conflicts(&shims[0], &shims, &agrees), Vec::<String>::new());
    let differs = [theirs("wasmtime", "other")];
    assert_eq!(changes(&shims, &[], &differs), []);
    assert!(conflicts(&shims[0], &shims, &differs)[0].contains("has handler other, not wasmtime"));
}

#[test]
fn drift_and_retired_handlers_are_settled() {
    let shims = [slipway()];
    let mut drifted = users_class(&shims[0]);
    drifted.scheduling = None;
    let retired = shim(
        "slipway",
        "2026-01-01T00:00:00Z",
        json!([{"name": "retired"}]),
    );
    let found = [Arc::new(drifted), Arc::new(users_class(&retired))];
    assert_eq!(
        names(&changes(&shims, &[], &found)),
        ["delete retired", "apply wasmtime"]
    );
    let mut other = users_class(&shims[0]);
    other.handler = "old".into();
    assert_eq!(
        names(&changes(&shims, &[], &[Arc::new(other)])),
        ["delete wasmtime"]
    );
}

#[test]
fn the_class_of_a_retired_handler_stays_for_the_pods_that_use_it_and_takes_no_more() {
    let old = shim(
        "slipway",
        "2026-01-01T00:00:00Z",
        json!([{"name": "old", "runtimeClass": {"overhead": {"podFixed": {"memory": "9Mi"}}}}]),
    );
    let shims = [slipway()];
    let found = [
        Arc::new(users_class(&old)),
        Arc::new(for_canaries("old")),
        Arc::new(users_class(&shims[0])),
        Arc::new(for_canaries("wasmtime")),
    ];
    let serves = [node(&["wasmtime", "old"])];
    let made = changes(&shims, &serves, &found);
    assert_eq!(names(&made), ["delete slipway-canary-old", "apply old"]);
    let Change::Apply(kept) = &made[1] else {
        panic!("{made:?}");
    };
    assert_eq!(kept.overhead, found[0].overhead);
    let selector = kept.scheduling.as_ref().unwrap().node_selector.as_ref();
    assert_eq!(selector.unwrap()[labels::RETIRED], "old");

    let found = [
        Arc::new((**kept).clone()),
        found[2].clone(),
        found[3].clone(),
    ];
    assert_eq!(changes(&shims, &serves, &found), []);
    assert_eq!(
        names(&changes(&shims, &[node(&["wasmtime"])], &found)),
        ["delete old"]
    );
    // Asked for again.
    assert_eq!(
        names(&changes(&[old], &serves, &found[..1])),
        ["apply old", "apply slipway-canary-old"]
    );
}

#[test]
fn a_class_says_what_its_handler_says() {
    let fast = shim(
        "fast",
        "2026-01-01T00:00:00Z",
        json!([{"name": "spin", "runtimeClass": {
            "name": "wasmtime-spin-v2",
            "overhead": {"podFixed": {"memory": "20Mi"}},
            "tolerations": [{"key": "wasm", "operator": "Exists", "effect": "NoSchedule"}],
        }}]),
    );
    let class = serde_json::to_value(users_class(&fast)).unwrap();
    assert_eq!(class["metadata"]["name"], "wasmtime-spin-v2");
    assert_eq!(class["handler"], "spin");
    assert_eq!(class["overhead"]["podFixed"]["memory"], "20Mi");
    assert_eq!(
        class["scheduling"]["nodeSelector"]["slipway.dev/fast"],
        "ready"
    );
    assert_eq!(class["scheduling"]["tolerations"][0]["key"], "wasm");
    let none = json!([{"name": "spin", "runtimeClass": {"create": false}}]);
    let none = [shim("none", "2026-01-01T00:00:00Z", none)];
    assert_eq!(changes(&none, &[], &[]), []);
}

#[test]
fn the_older_shim_has_the_class() {
    let young = shim(
        "a-young",
        "2026-02-01T00:00:00Z",
        json!([{"name": "wasmtime"}]),
    );
    let mut shims = [young.clone(), slipway()];
    by_age(&mut shims);
    let made = changes(&shims, &[], &[]);
    let [Change::Apply(class)] = &made[..] else {
        panic!("{made:?}");
    };
    assert_eq!(class.labels()[labels::SHIM], "slipway");
    assert_eq!(conflicts(&shims[0], &shims, &[]), Vec::<String>::new());
    assert!(conflicts(&young, &shims, &[])[0].contains("is made for Shim slipway"));
}

#[test]
fn pods_are_found_by_handler_whatever_the_class_is_called() {
    let found = [theirs("my-wasm", "wasmtime"), theirs("gvisor", "runsc")];
    assert_eq!(using(&["wasmtime".into()], &found), ["my-wasm"]);
}
