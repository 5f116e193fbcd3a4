//! The `containerd.runtimes` table inside a document, whatever way it is spelled: headers, dotted keys or inline.

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::schema::Schema;

/// Whether the document has the CRI plugin's section at all.
pub fn has_section(document: &DocumentMut, schema: Schema) -> bool {
    let [plugins, plugin, ..] = schema.runtimes() else {
        return false;
    };
    document
        .get(plugins)
        .and_then(|plugins| plugins.as_table_like()?.get(plugin))
        .is_some()
}

/// The runtimes of a document.
pub fn runtimes(document: &DocumentMut, schema: Schema) -> Option<&dyn TableLike> {
    let mut current: &dyn TableLike = document.as_table();
    for key in schema.runtimes().iter().copied() {
        current = current.get(key)?.as_table_like()?;
    }
    Some(current)
}

/// The runtimes of a document, to change; `None` if there are none.
pub fn runtimes_mut(document: &mut DocumentMut, schema: Schema) -> Option<&mut dyn TableLike> {
    let mut current: &mut dyn TableLike = document.as_table_mut();
    for key in schema.runtimes().iter().copied() {
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
    for key in schema.runtimes().iter().copied() {
        if current.get(key).is_none_or(Item::is_none) {
            let mut table = Table::new();
            table.set_implicit(true);
            current.insert(key, Item::Table(table));
        }
        current = current.get_mut(key)?.as_table_like_mut()?;
    }
    Some(current)
}

/// The plugin that pulls images, from 2.0 on.
pub const IMAGES: &str = "io.containerd.cri.v1.images";

/// Its option for the way of pulling that 1.x has (2.1, `internal/cri/config/config.go`).
pub const LOCAL_PULL: &str = "use_local_image_pull";

/// The section of the image plugin, made if it is not there. `None` if a key on the way is not a table.
pub fn images_or_insert(document: &mut DocumentMut) -> Option<&mut dyn TableLike> {
    let mut plugins = Table::new();
    plugins.set_implicit(true);
    document
        .entry("plugins")
        .or_insert(Item::Table(plugins))
        .as_table_like_mut()?
        .entry(IMAGES)
        .or_insert(Item::Table(Table::new()))
        .as_table_like_mut()
}

/// Whether a document switches local image pull on.
pub fn has_local_image_pull(document: &DocumentMut) -> bool {
    let images = document
        .get("plugins")
        .and_then(|plugins| plugins.as_table_like()?.get(IMAGES));
    images
        .and_then(|images| images.as_table_like()?.get(LOCAL_PULL)?.as_bool())
        .unwrap_or(false)
}

/// Takes local image pull out again, and its section if nothing else is in it. Whether anything was there.
pub fn remove_local_image_pull(document: &mut DocumentMut) -> bool {
    if !has_local_image_pull(document) {
        return false;
    }
    let Some(plugins) = document
        .get_mut("plugins")
        .and_then(Item::as_table_like_mut)
    else {
        return false;
    };
    if let Some(images) = plugins.get_mut(IMAGES).and_then(Item::as_table_like_mut) {
        images.remove(LOCAL_PULL);
        if images.is_empty() {
            plugins.remove(IMAGES);
        }
    }
    if plugins.is_empty() {
        document.remove("plugins");
    }
    true
}

/// What a runtime's table names: its type, or its program where the type is one of CRI-O's kinds of programs, or none.
pub fn runtime_type(runtime: &Item) -> Option<&str> {
    let table = runtime.as_table_like()?;
    let text = |key: &str| table.get(key).and_then(Item::as_str);
    match text("runtime_type") {
        None | Some("" | "oci" | "vm" | "pod") => text("runtime_path").or(text("runtime_type")),
        kind => kind,
    }
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
