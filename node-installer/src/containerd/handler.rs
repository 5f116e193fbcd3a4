//! A handler as containerd is to have it: one table among `containerd.runtimes`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use toml_edit::{Array, InlineTable, Item, Table, Value};

use crate::payload::SHIM;

/// Annotations that reach our shim; containerd passes none that is not listed.
pub const ANNOTATIONS: &str = "slipway.dev/*";

/// Who makes a pod's sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandboxer {
    /// containerd, with a pause container: its own default.
    #[default]
    Podsandbox,
    /// The shim itself (containerd's Sandbox API).
    Shim,
}

/// A handler and what its table says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handler {
    /// Its name.
    pub name: String,
    /// The shim's absolute path on the host: `runtime_type`.
    pub shim: PathBuf,
    /// Its options, as the shim reads them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Json>,
    /// Which annotations of pods and containers reach the shim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<String>,
    /// Who makes the sandbox.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sandboxer: Sandboxer,
}

fn is_default(sandboxer: &Sandboxer) -> bool {
    *sandboxer == Sandboxer::default()
}

impl Handler {
    /// A handler of a shim, without options. Only ours knows our annotations.
    pub fn plain(name: &str, shim: &Path) -> Self {
        let mut handler = Self {
            name: name.to_owned(),
            shim: shim.to_owned(),
            options: Map::new(),
            annotations: Vec::new(),
            sandboxer: Sandboxer::default(),
        };
        if handler.is_ours() {
            handler.annotations.push(ANNOTATIONS.to_owned());
        }
        handler
    }

    /// Whether the shim is this project's own, which takes hints that another might not.
    pub fn is_ours(&self) -> bool {
        self.shim.file_name().is_some_and(|name| name == SHIM)
    }

    /// Its table. It holds nothing about cgroups of its own accord: our shim learns the driver from the pod's own
    /// cgroups path, because the wrong value of a node-wide option here stops pods or blinds metrics (runwasi#821).
    ///
    /// With `task_api_hint` our shim is told that this containerd takes version 3 of its answer.
    pub fn table(&self, task_api_hint: bool) -> Table {
        let mut table = Table::new();
        let shim = self.shim.to_string_lossy();
        table.insert("runtime_type", Item::Value(Value::from(shim.as_ref())));
        if !self.annotations.is_empty() {
            let annotations = Array::from_iter(self.annotations.iter().map(String::as_str));
            let annotations = Item::Value(Value::Array(annotations));
            table.insert("pod_annotations", annotations.clone());
            table.insert("container_annotations", annotations);
        }
        if self.sandboxer == Sandboxer::Shim {
            table.insert("sandboxer", Item::Value(Value::from("shim")));
        }
        let mut options = options(&self.options);
        if task_api_hint && self.is_ours() {
            options.insert("task_api", Item::Value(Value::from(3)));
        }
        if !options.is_empty() {
            table.insert("options", Item::Table(options));
        }
        table
    }
}

/// A JSON object as a table with sub-tables. `null` has no counterpart and is left out; a spec with one is refused.
fn options(object: &Map<String, Json>) -> Table {
    let mut table = Table::new();
    // In the order of their names, whatever order the object keeps: the same spec gives the same bytes.
    let mut pairs: Vec<(&String, &Json)> = object.iter().collect();
    pairs.sort_by_key(|(key, _)| *key);
    for (key, value) in pairs {
        match value {
            Json::Object(inner) => {
                table.insert(key, Item::Table(options(inner)));
            }
            other => {
                if let Some(value) = value_of(other) {
                    table.insert(key, Item::Value(value));
                }
            }
        }
    }
    table
}

fn value_of(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::from(whole),
            None => Value::from(number.as_f64()?),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::Array(items.iter().filter_map(value_of).collect()),
        Json::Object(object) => {
            let pairs = object.iter();
            let pairs = pairs.filter_map(|(key, value)| Some((key.as_str(), value_of(value)?)));
            Value::InlineTable(pairs.collect::<InlineTable>())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml_edit::DocumentMut;

    fn rendered(handler: &Handler, hint: bool) -> String {
        let mut document = DocumentMut::new();
        document.insert("h", Item::Table(handler.table(hint)));
        document.to_string()
    }

    #[test]
    fn options_become_tables_below_the_handlers_own() {
        let mut handler = Handler::plain("spin", Path::new("/opt/x/containerd-shim-spin-v2"));
        let options = serde_json::json!({
            "mode": "auto", "n": -3, "ratio": 0.5, "on": true, "list": ["a", {"b": 1}],
            "nested key": {"deep": {"x": 1}},
        });
        handler.options = options.as_object().cloned().unwrap();
        handler.sandboxer = Sandboxer::Shim;
        assert_eq!(
            rendered(&handler, true),
            "[h]\nruntime_type = \"/opt/x/containerd-shim-spin-v2\"\nsandboxer = \"shim\"\n\n[h.options]\n\
             list = [\"a\", { b = 1 }]\nmode = \"auto\"\nn = -3\non = true\nratio = 0.5\n\n\
             [h.options.\"nested key\"]\n\n[h.options.\"nested key\".deep]\nx = 1\n"
        );
    }

    #[test]
    fn only_our_shim_gets_our_annotations_and_the_hint() {
        let ours = rendered(&Handler::plain("h", &Path::new("/opt/x").join(SHIM)), true);
        assert!(
            ours.contains("pod_annotations = [\"slipway.dev/*\"]"),
            "{ours}"
        );
        assert!(ours.contains("task_api = 3"), "{ours}");
        let other = rendered(
            &Handler::plain("h", Path::new("/opt/x/containerd-shim-spin-v2")),
            true,
        );
        assert_eq!(
            other,
            "[h]\nruntime_type = \"/opt/x/containerd-shim-spin-v2\"\n"
        );
    }
}
