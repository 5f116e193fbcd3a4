//! What the watcher on a node tells: that something of an install is gone.
//!
//! A watcher ends with its report and is started again by the kubelet, so its report stays to be read in its last
//! state. Whoever takes it in deletes the pod; the next one has nothing to tell, or tells it anew.

use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::ResourceExt as _;
use serde::Deserialize;
use slipway_crds::labels;

use crate::report::clean;

/// As the installer calls it.
const REASON: &str = "Drifted";
/// How much of the watcher's sentence goes into a message.
const MAX_MESSAGE: usize = 512;

/// Something of an install is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The watcher's pod.
    pub pod: String,
    /// The handlers that it concerns.
    pub handlers: Vec<String>,
    /// The watcher's sentence.
    pub message: String,
}

/// The node a pod watches over, if it does that.
#[must_use]
pub fn watches(pod: &Pod) -> Option<&str> {
    let component = pod.labels().get(labels::COMPONENT)?;
    if component != labels::COMPONENT_WATCH {
        return None;
    }
    pod.spec.as_ref()?.node_name.as_deref()
}

/// What a watcher tells of its node.
#[must_use]
pub fn told(pod: &Pod) -> Option<Drift> {
    #[derive(Deserialize)]
    struct Report {
        operation: String,
        reason: String,
        message: String,
        handlers: Vec<String>,
    }
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let states = statuses
        .iter()
        .flat_map(|status| [&status.state, &status.last_state]);
    let ended = |state: &ContainerState| state.terminated.as_ref()?.message.clone();
    let mut reports = states.flatten().filter_map(|state| {
        let report: Report = serde_json::from_str(&ended(state)?).ok()?;
        (report.operation == "watch" && report.reason == REASON).then_some(report)
    });
    let report = reports.next()?;
    Some(Drift {
        pod: pod.name_any(),
        handlers: report.handlers,
        message: clean(&report.message, MAX_MESSAGE),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn watcher(component: &str, status: &Value) -> Pod {
        let pod = json!({
            "metadata": {"name": "w", "labels": {"app.kubernetes.io/component": component}},
            "spec": {"nodeName": "n", "containers": []},
            "status": {"containerStatuses": [status]},
        });
        serde_json::from_value(pod).unwrap()
    }

    fn status(state: &Value, last: &Value) -> Value {
        json!({
            "name": "watch", "image": "i", "imageID": "", "ready": true, "restartCount": 1,
            "state": state, "lastState": last,
        })
    }

    fn ended(message: &str) -> Value {
        json!({"terminated": {"exitCode": 5, "message": message}})
    }

    const GONE: &str = r#"{"version":1,"operation":"watch","outcome":"failed","reason":"Drifted",
        "message":"/etc/x is gone","handlers":["wasmtime"],"restarted":false,"steps":[]}"#;

    #[test]
    fn a_report_is_read_until_the_pod_is_gone() {
        let running = json!({"running": {}});
        for (state, last) in [(ended(GONE), json!({})), (running.clone(), ended(GONE))] {
            let drift = told(&watcher("watch", &status(&state, &last))).unwrap();
            assert_eq!(drift.message, "/etc/x is gone");
            assert_eq!(
                (&*drift.pod, drift.handlers),
                ("w", vec!["wasmtime".to_owned()])
            );
        }
        for other in [
            running,
            ended(""),
            ended("out of memory"),
            ended(&GONE.replace("Drifted", "Interrupted")),
            ended(&GONE.replace("\"watch\"", "\"install\"")),
        ] {
            assert_eq!(told(&watcher("watch", &status(&other, &json!({})))), None);
        }
    }

    #[test]
    fn only_watchers_watch() {
        let status = status(&json!({}), &json!({}));
        assert_eq!(watches(&watcher("watch", &status)), Some("n"));
        assert_eq!(watches(&watcher("canary", &status)), None);
    }
}
