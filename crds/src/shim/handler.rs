//! What a shim serves: containerd's runtime handlers, and the `RuntimeClasses` by which pods name them.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A runtime handler.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Handler {
    /// Name of the handler in containerd's configuration.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("!(self in ['runc', 'crun', 'untrusted'])").message("name: this handler belongs to the container runtime itself"))]
    pub name: String,
    /// The `RuntimeClass` by which pods name it.
    #[serde(default, skip_serializing_if = "HandlerClass::is_default")]
    pub runtime_class: HandlerClass,
    /// The handler's options table in containerd's configuration, as the shim reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "options")]
    pub options: Option<Map<String, Value>>,
    /// Annotations of pods that reach the shim; `*` at the end stands for any rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 317)))]
    pub pod_annotations: Option<Vec<String>>,
    /// Who makes the pod's sandbox; containerd's own choice where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandboxer: Option<Sandboxer>,
}

/// The `RuntimeClass` of a handler.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.create || (!has(self.overhead) && !has(self.tolerations))").message("runtimeClass: overhead and tolerations are of no effect where create is false"))]
pub struct HandlerClass {
    /// Its name; the handler's where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub name: Option<String>,
    /// Make it. One of this name that someone else made is never changed.
    #[serde(default = "yes")]
    pub create: bool,
    /// What a pod takes beyond its containers. Where nothing is said: 2Mi of memory for the bundled shim, nothing for
    /// others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead: Option<Overhead>,
    /// Taints that pods of this class live with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
}

impl Default for HandlerClass {
    fn default() -> Self {
        Self {
            name: None,
            create: true,
            overhead: None,
            tolerations: Vec::new(),
        }
    }
}

impl HandlerClass {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// As in a `RuntimeClass`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Overhead {
    /// Amounts by resource, `memory` and `cpu` mostly.
    #[serde(default)]
    #[schemars(schema_with = "amounts")]
    pub pod_fixed: BTreeMap<String, String>,
}

/// As in a pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.key) || (has(self.operator) && self.operator == 'Exists')").message("a toleration without a key has operator Exists"))]
pub struct Toleration {
    /// Key of the taint; none stands for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub key: Option<String>,
    /// How key and value are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// Value of the taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// Effect of the taint; none stands for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// How long a taint of effect `NoExecute` is lived with, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration compares.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TolerationOperator {
    /// Key and value are the same.
    Equal,
    /// The key is the same.
    Exists,
}

impl TolerationOperator {
    /// As the API spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "Equal",
            Self::Exists => "Exists",
        }
    }
}

/// What a taint does.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// No new pods.
    NoSchedule,
    /// Rather no new pods.
    PreferNoSchedule,
    /// No pods.
    NoExecute,
}

impl Effect {
    /// As the API spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// Who makes a pod's sandbox (containerd 2.x).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Sandboxer {
    /// containerd, with a pause container.
    Podsandbox,
    /// The shim.
    Shim,
}

const fn yes() -> bool {
    true
}

/// Anything, but not any amount of it. The API server keeps what it does not know.
fn options(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "The handler's options table in containerd's configuration, as the shim reads it.",
        "maxProperties": 64,
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// Amounts as Kubernetes writes them.
fn amounts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "Amounts by resource, `memory` and `cpu` mostly.",
        "maxProperties": 8,
        "additionalProperties": {
            "type": "string",
            "maxLength": 32,
            "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$",
        },
    })
}
