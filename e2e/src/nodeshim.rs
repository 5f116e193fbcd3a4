//! What the operator says about a node: the `NodeShim`, read as any client without our types reads it.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client};
use serde_json::Value;

use crate::provision::PATIENCE;
use crate::wait::until;

/// The shim most tests are about: the one in the installer image.
const SHIM: &str = "slipway";

/// The node's `NodeShim`, if there is one.
///
/// # Errors
/// When the API server does not answer, or does not know the kind.
pub async fn get(client: &Client, node: &str) -> Result<Option<DynamicObject>> {
    get_of(client, node, SHIM).await
}

/// The same of another shim.
///
/// # Errors
/// When the API server does not answer, or does not know the kind.
pub async fn get_of(client: &Client, node: &str, shim: &str) -> Result<Option<DynamicObject>> {
    Ok(api(client).get_opt(&format!("{node}.{shim}")).await?)
}

fn api(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("slipway.dev", "v1alpha1", "NodeShim");
    Api::all_with(client.clone(), &ApiResource::from_gvk(&kind))
}

/// How far the nodes of a shim are, all as of one moment.
#[derive(Debug, Default)]
pub struct Standing {
    /// Nodes that are being changed.
    pub busy: Vec<String>,
    /// Nodes that have the shim, each with the goal it is proven with.
    pub ready: BTreeMap<String, String>,
}

impl Standing {
    /// Reads them by one request. Who asks for one after the other sees two busy at once where the second follows upon
    /// the first.
    ///
    /// # Errors
    /// When the API server does not answer, or does not know the kind.
    pub async fn of(client: &Client, shim: &str) -> Result<Self> {
        let mut standing = Self::default();
        for object in api(client).list(&ListParams::default()).await? {
            standing.add(&object.data, shim);
        }
        Ok(standing)
    }

    fn add(&mut self, object: &Value, shim: &str) {
        let (spec, status) = (&object["spec"], &object["status"]);
        if spec["shim"] != shim {
            return;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let node = text(&spec["nodeName"]);
        match text(&status["phase"]).as_str() {
            "Installing" | "Verifying" | "Removing" => self.busy.push(node),
            "Ready" => drop(self.ready.insert(node, text(&status["proof"]["goal"]))),
            _ => {}
        }
    }
}

/// Waits until the node's `NodeShim` of this shim is Ready, and its status as wanted besides. Returns the status.
///
/// # Errors
/// When it is not in time; how it stands is in the message.
pub async fn until_ready(
    client: &Client,
    node: &str,
    shim: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    until(&format!("{shim} on {node}"), PATIENCE, || async {
        let found = get_of(client, node, shim).await?;
        let status = found.map(|object| object.data["status"].clone());
        let status = status.unwrap_or_default();
        Ok(if status["phase"] == "Ready" && wanted(&status) {
            Ok(status)
        } else {
            Err(format!("{} {}", status["phase"], status["lastError"]))
        })
    })
    .await
}

/// One line for people: phase and conditions.
pub async fn summary(client: &Client, node: &str) -> String {
    match get(client, node).await {
        Ok(Some(object)) => describe(&object.data["status"]),
        Ok(None) => "there is no NodeShim".to_owned(),
        Err(error) => format!("the NodeShim cannot be read: {error}"),
    }
}

/// The condition of that type: its status, reason and message.
#[must_use]
pub fn condition(object: &DynamicObject, kind: &str) -> Option<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    object.data["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == kind)
        .map(|found| {
            (
                text(&found["status"]),
                text(&found["reason"]),
                text(&found["message"]),
            )
        })
}

fn describe(status: &Value) -> String {
    let mut line = format!("phase {}", status["phase"].as_str().unwrap_or("unset"));
    for condition in status["conditions"].as_array().into_iter().flatten() {
        line.push_str(&format!(
            "; {}={} {}: {}",
            condition["type"].as_str().unwrap_or_default(),
            condition["status"].as_str().unwrap_or_default(),
            condition["reason"].as_str().unwrap_or_default(),
            condition["message"].as_str().unwrap_or_default(),
        ));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_is_changed_and_who_is_done_is_told_apart() {
        let mut standing = Standing::default();
        for (node, shim, phase) in [
            ("a", "s", "Ready"),
            ("b", "s", "Verifying"),
            ("c", "s", "Pending"),
            ("d", "t", "Installing"),
        ] {
            let object = json!({
                "spec": { "nodeName": node, "shim": shim },
                "status": { "phase": phase, "proof": { "goal": "g" } },
            });
            standing.add(&object, "s");
        }
        assert_eq!(standing.busy, ["b"]);
        assert_eq!(standing.ready, BTreeMap::from([("a".into(), "g".into())]));
    }

    #[test]
    fn a_status_is_one_line() {
        let status = json!({
            "phase": "Failed",
            "conditions": [{ "type": "Ready", "status": "False", "reason": "R", "message": "m" }],
        });
        assert_eq!(describe(&status), "phase Failed; Ready=False R: m");
        assert_eq!(describe(&Value::Null), "phase unset");
    }
}
