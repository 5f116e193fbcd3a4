//! Which `Shim`s are admitted, and what is said of those that are not.

use serde_json::{Value, json};
use slipway_crds::ShimSpec;

use super::{admission, schema};

fn object(name: &str, spec: &Value) -> Value {
    json!({"metadata": {"name": name}, "spec": spec})
}

/// A spec of this source, with one handler.
#[expect(
    clippy::needless_pass_by_value,
    reason = "every caller makes it on the spot"
)]
fn from(source: Value) -> Value {
    json!({"source": source, "handlers": [{"name": "spin"}]})
}

/// A bundled spec with one field more.
fn with(field: &str, value: Value) -> Value {
    let mut spec = from(json!({"bundled": {}}));
    spec[field] = value;
    spec
}

fn url(url: &str, sha256: &str) -> Value {
    from(json!({"url": {
        "binary": "containerd-shim-spin-v2",
        "platforms": [{"platform": "linux/amd64", "url": url, "sha256": sha256}],
    }}))
}

fn accepts(spec: &Value) {
    let found = admission::refusals(&schema("Shim"), &object("spin", spec));
    assert!(found.is_empty(), "{spec}: {found:?}");
    let parsed: ShimSpec =
        serde_json::from_value(spec.clone()).expect("what is admitted is understood");
    let again: ShimSpec =
        serde_json::from_value(serde_json::to_value(&parsed).expect("a spec is JSON"))
            .expect("its own form");
    assert_eq!(parsed, again);
}

fn refuses(spec: &Value, why: &str) {
    refuses_named("spin", spec, why);
}

fn refuses_named(name: &str, spec: &Value, why: &str) {
    let found = admission::refusals(&schema("Shim"), &object(name, spec));
    assert!(
        found.len() == 1 && found[0].contains(why),
        "{spec}: wanted {why:?}, found {found:?}"
    );
}

#[test]
fn every_source_and_every_field_is_admitted() {
    let sha = "0".repeat(64);
    accepts(&from(json!({"bundled": {}})));
    accepts(&url("https://mirror.test/spin-v2.tar.gz", &sha));
    accepts(&from(
        json!({"image": {"reference": "mirror.test/spin:1", "binary": "containerd-shim-spin-v2"}}),
    ));
    accepts(&from(json!({"image": {
        "reference": "mirror.test/spin@sha256:00", "binary": "s", "path": "/bin", "pullPolicy": "Always",
        "pullSecrets": [{"name": "pull"}],
    }})));
    accepts(&from(
        json!({"adopt": {"path": "/usr/local/bin/containerd-shim-spin-v2"}}),
    ));
    accepts(&json!({
        "source": {"bundled": {}},
        "nodeSelector": {
            "matchLabels": {"pool": "wasm"},
            "matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}, {"key": "gpu", "operator": "DoesNotExist"}],
        },
        "handlers": [
            {
                "name": "wasmtime",
                "runtimeClass": {
                    "name": "wasm.fast", "overhead": {"podFixed": {"memory": "2Mi", "cpu": "1m"}},
                    "tolerations": [{"key": "wasm", "operator": "Exists", "effect": "NoSchedule"}],
                },
                "options": {"mode": "auto", "nested": {"free": [1, "two"]}},
                "podAnnotations": ["slipway.dev/*"], "sandboxer": "shim",
            },
            {"name": "spin", "runtimeClass": {"create": false}},
        ],
        "rollout": {"type": "Rolling", "maxUnavailable": 3, "stopOnFailure": false},
        "startupTaints": [{"key": "slipway.dev/starting", "effect": "NoSchedule"}, {"key": "slipway.dev/starting", "effect": "NoExecute"}],
        "localImagePull": true,
        "leftovers": "Remove",
        "canary": {"image": "mirror.test/canary:1", "command": ["/"], "success": "Running"},
    }));
    accepts(&with("rollout", json!({"type": "Recreate"})));
    accepts(&with("nodeSelector", json!({})));
}

#[test]
fn names_that_cannot_stand_in_a_label_are_refused() {
    let spec = from(json!({"bundled": {}}));
    for name in ["a.b", "Spin", "-a", "a-", &"x".repeat(41)] {
        refuses_named(name, &spec, "the name of a Shim stands in node labels");
    }
    for name in ["a", "spin-v2", &"x".repeat(40)] {
        let found = admission::refusals(&schema("Shim"), &object(name, &spec));
        assert!(found.is_empty(), "{name}: {found:?}");
    }
}

#[test]
fn exactly_one_source() {
    let sentence = "exactly one of bundled, url, image and adopt";
    refuses(&from(json!({})), sentence);
    refuses(
        &from(json!({"bundled": {}, "adopt": {"path": "/bin/x"}})),
        sentence,
    );
    refuses(&from(json!({"file": {}})), "unknown field");
}

#[test]
fn sources_that_cannot_work_are_refused() {
    let sha = "0".repeat(64);
    refuses(&url("ftp://mirror.test/x", &sha), "should match ^https?");
    refuses(
        &url("https://mirror.test/a b", &sha),
        "should match ^https?",
    );
    refuses(&url("https://mirror.test/x", "0123"), "too short");
    refuses(
        &url("https://mirror.test/x", &"X".repeat(64)),
        "should match",
    );
    let mut twice = url("https://mirror.test/x", &sha);
    let one = twice["source"]["url"]["platforms"][0].clone();
    twice["source"]["url"]["platforms"] = json!([one, one]);
    refuses(&twice, "duplicate value");
    refuses(&from(json!({"adopt": {"path": "bin/x"}})), "should match");
    refuses(
        &from(json!({"adopt": {"path": "/opt/../etc"}})),
        "without '..'",
    );
    refuses(
        &from(json!({"image": {"reference": "i", "binary": "b", "path": "/a/../b"}})),
        "without '..'",
    );
    refuses(
        &from(json!({"image": {"reference": "i", "binary": "../b"}})),
        "should match",
    );
    refuses(
        &from(json!({"image": {"reference": "i"}})),
        "binary is required",
    );
}

#[test]
fn handlers_that_cannot_work_are_refused() {
    let handlers = |handlers: Value| with("handlers", handlers);
    refuses(&handlers(json!([])), "too short");
    refuses(
        &handlers(json!([{"name": "runc"}])),
        "belongs to the container runtime itself",
    );
    refuses(&handlers(json!([{"name": "Spin"}])), "should match");
    refuses(
        &handlers(json!([{"name": "a"}, {"name": "a"}])),
        "duplicate value",
    );
    refuses(
        &handlers(json!([{"name": "a"}, {"name": "b", "runtimeClass": {"name": "a"}}])),
        "two handlers name the same RuntimeClass",
    );
    refuses(
        &handlers(
            json!([{"name": "a", "runtimeClass": {"create": false, "overhead": {"podFixed": {"cpu": "1"}}}}]),
        ),
        "of no effect where create is false",
    );
    refuses(
        &handlers(
            json!([{"name": "a", "runtimeClass": {"overhead": {"podFixed": {"cpu": "much"}}}}]),
        ),
        "should match",
    );
    refuses(
        &handlers(
            json!([{"name": "a", "runtimeClass": {"tolerations": [{"effect": "NoSchedule"}]}}]),
        ),
        "a toleration without a key has operator Exists",
    );
    let many: serde_json::Map<_, _> = (0..65).map(|n| (n.to_string(), json!(n))).collect();
    refuses(
        &handlers(json!([{"name": "a", "options": many}])),
        "too long",
    );
    refuses(
        &handlers(json!([{"name": "a", "sandboxer": "runc"}])),
        "unsupported value",
    );
}

#[test]
fn the_rest_is_checked_too() {
    refuses(
        &with("rollout", json!({"type": "Recreate", "maxUnavailable": 2})),
        "belong to type Rolling",
    );
    refuses(&with("rollout", json!({"maxUnavailable": 0})), "too small");
    refuses(
        &with("rollout", json!({"type": "Canary"})),
        "unsupported value",
    );
    refuses(
        &with(
            "nodeSelector",
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
        ),
        "In and NotIn want some",
    );
    refuses(
        &with(
            "nodeSelector",
            json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}),
        ),
        "In and NotIn want some",
    );
    refuses(
        &with(
            "startupTaints",
            json!([{"key": "node.kubernetes.io/not-ready"}]),
        ),
        "belong to Kubernetes",
    );
    refuses(
        &with("startupTaints", json!([{"key": "a/b"}, {"key": "a/b"}])),
        "listed twice",
    );
    refuses(
        &with("canary", json!({"command": ["/x"]})),
        "a command needs an image",
    );
    refuses(&with("leftovers", json!("Burn")), "unsupported value");
}
