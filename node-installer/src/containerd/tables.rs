//! The `containerd.runtimes` table inside a document, whatever way it is spelled: headers, dotted keys or inline.

use std::path::Path;

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value};

use super::schema::Schema;

/// Annotations that reach the shim; containerd passes none that is not listed.
const ANNOTATIONS: &str = "slipway.dev/*";

fn steps(schema: Schema) -> [&'static str; 4] {
    ["plugins", schema.plugin(), "containerd", "runtimes"]
}

/// Whether the document has the CRI plugin's section at all.
pub fn has_section(document: &DocumentMut, schema: Schema) -> bool {
    document
        .get("plugins")
        .and_then(|plugins| plugins.as_table_like()?.get(schema.plugin()))
        .is_some()
}

/// The runtimes of a document.
pub fn runtimes(document: &DocumentMut, schema: Schema) -> Option<&dyn TableLike> {
    let mut current: &dyn TableLike = document.as_table();
    for key in steps(schema) {
        current = current.get(key)?.as_table_like()?;
    }
    Some(current)
}

/// The runtimes of a document, to change; `None` if there are none.
pub fn runtimes_mut(document: &mut DocumentMut, schema: Schema) -> Option<&mut dyn TableLike> {
    let mut current: &mut dyn TableLike = document.as_table_mut();
    for key in steps(schema) {
        current = current.get_mut(key)?.as_table_like_mut()?;
    }
    Some(current)
}

/// The runtimes of a document, made if they are not there. `None` if a key on the way is not a table.
pub fn runtimes_or_insert(
    document: &mut DocumentMut,
    schema: Schema,
) -> Option<&mut dyn TableLike> {
    let mut current: &mut dyn TableLike = document.as_table_mut();
    for key in steps(schema) {
        if current.get(key).is_none_or(Item::is_none) {
            let mut table = Table::new();
            table.set_implicit(true);
            current.insert(key, Item::Table(table));
        }
        current = current.get_mut(key)?.as_table_like_mut()?;
    }
    Some(current)
}

/// The type a runtime's table names.
pub fn runtime_type(runtime: &Item) -> Option<&str> {
    runtime.as_table_like()?.get("runtime_type")?.as_str()
}

/// The table of one of our handlers. It holds nothing about cgroups: the shim learns the driver from the pod's own
/// cgroups path, because the wrong value of a node-wide option here stops pods or blinds metrics (runwasi#821).
///
/// With `task_api_hint` the shim is told that this containerd takes version 3 of its answer. Without, there are no
/// options at all.
pub fn handler_table(shim: &Path, task_api_hint: bool) -> Table {
    let mut annotations = Array::new();
    annotations.push(ANNOTATIONS);
    let mut table = Table::new();
    table.insert(
        "runtime_type",
        Item::Value(Value::from(shim.to_string_lossy().as_ref())),
    );
    table.insert(
        "pod_annotations",
        Item::Value(Value::Array(annotations.clone())),
    );
    table.insert(
        "container_annotations",
        Item::Value(Value::Array(annotations)),
    );
    if task_api_hint {
        let mut options = Table::new();
        options.insert("task_api", Item::Value(Value::from(3)));
        table.insert("options", Item::Table(options));
    }
    table
}

/// containerd's built-in `runc` handler, written out. containerd 1.x forgets it as soon as a file names any runtime
/// (go-toml 1.9 makes a new map), so whoever names the first must also name this one.
pub fn built_in_runc() -> Table {
    let mut table = Table::new();
    table.insert(
        "runtime_type",
        Item::Value(Value::from("io.containerd.runc.v2")),
    );
    table
}
