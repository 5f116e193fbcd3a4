//! Pure edits of configuration text. Every one is checked by parsing its own result again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, TableLike, Value};

use super::document::{self, DocumentError};
use super::handler::Handler;
use super::schema::{Schema, SchemaError};
use super::tables;
use super::template;
use crate::failure::Reason;

/// What we put into a file besides our handlers' tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Additions {
    /// The import that names our drop-in's folder, if it was not there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<String>,
    /// Whether containerd's built-in `runc` table was written out.
    #[serde(default)]
    pub built_in_runc: bool,
    /// Handlers whose shim is not below the install root, and that shim: only so are their tables known as ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub adopted: BTreeMap<String, PathBuf>,
    /// The name of the file in which local image pull was switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_image_pull: Option<String>,
}

/// Why a file could not be edited.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// It does not parse.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Its form is unknown.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A key has an unexpected type.
    #[error("{path}: {key} is not {expected}")]
    Type {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The result is not what was meant; a guard, since some spellings cannot be extended.
    #[error(
        "{path} is written in a way that cannot be extended safely: add the table {table} by hand or use a drop-in"
    )]
    NotExtensible {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
    },
}

impl Reason for RewriteError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Document(error) => error.reason(),
            Self::Schema(error) => error.reason(),
            Self::Type { .. } => "ConfigMalformed",
            Self::NotExtensible { .. } => "ConfigUnsupported",
        }
    }
}

/// How a drop-in of ours begins.
pub const DROP_IN_HEADER: &str =
    "# Written by slipway-node-installer, which removes it when the node is uninstalled.\n";

/// The text of our drop-in.
pub fn drop_in(schema: Schema, handlers: &[Handler], task_api_hint: bool) -> String {
    let tables = tables(schema, handlers, task_api_hint, false);
    match schema.number() {
        Some(number) => format!("{DROP_IN_HEADER}version = {number}\n\n{tables}"),
        None => format!("{DROP_IN_HEADER}{tables}"),
    }
}

/// The text of a piece that a distribution puts together with others: it has no version of its own, because some append
/// one to another, and a second version would break the whole.
pub fn piece(schema: Schema, handlers: &[Handler]) -> String {
    let tables = tables(schema, handlers, false, false);
    format!("{DROP_IN_HEADER}{tables}")
}

/// The text of our handlers' tables alone.
pub fn tables(
    schema: Schema,
    handlers: &[Handler],
    task_api_hint: bool,
    built_in_runc: bool,
) -> String {
    let mut document = DocumentMut::new();
    if let Some(runtimes) = tables::runtimes_or_insert(&mut document, schema) {
        if built_in_runc {
            runtimes.insert("runc", Item::Table(tables::built_in_runc()));
        }
        for handler in handlers {
            runtimes.insert(&handler.name, Item::Table(handler.table(task_api_hint)));
        }
    }
    document.to_string()
}

/// The text of a root file that did not exist.
pub fn new_root(schema: Schema, import: &str) -> String {
    let mut document = DocumentMut::new();
    if let Some(number) = schema.number() {
        document.insert("version", Item::Value(Value::from(number)));
    }
    document.insert(
        "imports",
        Item::Value(Value::Array(Array::from_iter([import]))),
    );
    document.to_string()
}

/// Adds our handlers' tables to a file.
pub fn add_handlers(
    path: &Path,
    text: &str,
    schema: Schema,
    handlers: &[Handler],
    built_in_runc: bool,
) -> Result<String, RewriteError> {
    let mut document = document::parse(path, text)?;
    let runtimes =
        tables::runtimes_or_insert(&mut document, schema).ok_or_else(|| RewriteError::Type {
            path: path.to_owned(),
            key: schema.runtimes_key(),
            expected: "a table",
        })?;
    if built_in_runc {
        runtimes.insert("runc", Item::Table(tables::built_in_runc()));
    }
    for handler in handlers {
        runtimes.insert(&handler.name, Item::Table(handler.table(false)));
    }
    let result = document::render(text, &document);
    let again = document::parse(path, &result)?;
    for handler in handlers {
        let name = &handler.name;
        let found = tables::runtimes(&again, schema).and_then(|runtimes| runtimes.get(name));
        if found.and_then(tables::runtime_type).map(Path::new) != Some(&handler.shim) {
            return Err(RewriteError::NotExtensible {
                path: path.to_owned(),
                table: format!("{}.{name}", schema.runtimes_key()),
            });
        }
    }
    Ok(result)
}

/// Switches local image pull on, for the whole node. Its section has one name in every version of the file: the
/// migration of older ones keeps it as it is (`plugins/cri/images/plugin.go`@v2.4.2).
pub fn add_local_image_pull(path: &Path, text: &str) -> Result<String, RewriteError> {
    let mut document = document::parse(path, text)?;
    let images = tables::images_or_insert(&mut document).ok_or_else(|| RewriteError::Type {
        path: path.to_owned(),
        key: format!("plugins.{:?}", tables::IMAGES),
        expected: "a table",
    })?;
    images.insert(tables::LOCAL_PULL, Item::Value(Value::from(true)));
    Ok(document.to_string())
}

/// Adds a pattern to a root file's `imports`.
pub fn add_import(path: &Path, text: &str, pattern: &str) -> Result<String, RewriteError> {
    let mut document = document::parse(path, text)?;
    let item = document
        .entry("imports")
        .or_insert_with(|| Item::Value(Value::Array(Array::new())));
    let imports = item.as_array_mut().ok_or_else(|| not_imports(path))?;
    imports.push(pattern);
    Ok(document::render(text, &document))
}

/// The patterns in a file's `imports`.
pub fn imports(path: &Path, document: &DocumentMut) -> Result<Vec<String>, RewriteError> {
    let Some(item) = document.get("imports") else {
        return Ok(Vec::new());
    };
    let values = item.as_array().ok_or_else(|| not_imports(path))?;
    values
        .iter()
        .map(|value| {
            value
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| not_imports(path))
        })
        .collect()
}

fn not_imports(path: &Path) -> RewriteError {
    RewriteError::Type {
        path: path.to_owned(),
        key: "imports".to_owned(),
        expected: "a list of texts",
    }
}

/// Takes out of a file whatever is ours and leaves everything else: for files that somebody else edited since, and
/// for nodes whose journal is lost. Ours is a runtime whose type lies below `install_root`, and what the additions name.
pub fn withdraw(
    path: &Path,
    text: &str,
    install_root: &Path,
    additions: &Additions,
) -> Result<String, RewriteError> {
    if template::is_template(path) {
        return Ok(template::withdraw(text));
    }
    let mut document = document::parse(path, text)?;
    let mut changed = false;
    for schema in Schema::ANY {
        if let Some(runtimes) = tables::runtimes_mut(&mut document, schema) {
            changed |= withdraw_runtimes(runtimes, install_root, additions);
        }
    }
    if let Some(pattern) = &additions.import {
        changed |= remove_import(&mut document, pattern);
    }
    let file = path.file_name().and_then(|name| name.to_str());
    if file.is_some() && file == additions.local_image_pull.as_deref() {
        changed |= tables::remove_local_image_pull(&mut document);
    }
    Ok(if changed {
        document::render(text, &document)
    } else {
        text.to_owned()
    })
}

fn withdraw_runtimes(
    runtimes: &mut dyn TableLike,
    install_root: &Path,
    additions: &Additions,
) -> bool {
    let ours: Vec<String> = runtimes
        .iter()
        .filter(|(name, item)| {
            tables::runtime_type(item)
                .map(Path::new)
                .is_some_and(|kind| {
                    kind.starts_with(install_root)
                        || additions
                            .adopted
                            .get(*name)
                            .is_some_and(|shim| shim == kind)
                })
        })
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in &ours {
        runtimes.remove(name);
    }
    // Others may count on the spelled-out table by now; alone it says no more than containerd's default.
    let only_runc = runtimes.len() == 1
        && runtimes
            .get("runc")
            .and_then(Item::as_table_like)
            .is_some_and(|runc| runc.len() == 1);
    if additions.built_in_runc && only_runc {
        runtimes.remove("runc");
        return true;
    }
    !ours.is_empty()
}

/// Whether a text says nothing but its version, and perhaps the names of empty tables.
pub fn is_bare(path: &Path, text: &str) -> bool {
    fn hollow(item: &Item) -> bool {
        item.as_table_like()
            .is_some_and(|table| table.iter().all(|(_, item)| hollow(item)))
    }
    if template::is_template(path) {
        return template::is_bare(text);
    }
    document::parse(path, text).is_ok_and(|document| {
        document
            .iter()
            .all(|(key, item)| key == "version" || hollow(item))
    })
}

fn remove_import(document: &mut DocumentMut, pattern: &str) -> bool {
    let Some(imports) = document.get_mut("imports").and_then(Item::as_array_mut) else {
        return false;
    };
    let at = imports
        .iter()
        .position(|value| value.as_str() == Some(pattern));
    let Some(at) = at else { return false };
    imports.remove(at);
    if imports.is_empty() {
        document.remove("imports");
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "/opt/slipway";
    const SHIM: &str = "/opt/slipway/abc/containerd-shim-slipway-v1";

    fn add(text: &str, schema: Schema) -> String {
        add_handlers(
            Path::new("/c"),
            text,
            schema,
            &[Handler::plain("wasmtime", Path::new(SHIM))],
            false,
        )
        .unwrap()
    }

    fn undo(text: &str) -> String {
        withdraw(
            Path::new("/c"),
            text,
            Path::new(ROOT),
            &Additions::default(),
        )
        .unwrap()
    }

    #[test]
    fn tables_in_headers_dotted_keys_and_inline_are_all_extended_and_restored() {
        for text in [
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"x\" # why\n",
            "version = 2\nplugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.runtime_type = \"x\"\n",
            "version = 2\n[plugins]\n\"io.containerd.grpc.v1.cri\" = { containerd = { runtimes = { runc = { runtime_type = \"x\" } } } }\n",
        ] {
            let after = add(text, Schema::Two);
            assert!(after.contains(SHIM), "{after}");
            let back = undo(&after);
            assert_eq!(
                document::parse(Path::new("/c"), &back)
                    .unwrap()
                    .to_string()
                    .replace(char::is_whitespace, ""),
                text.replace(char::is_whitespace, "")
            );
        }
    }

    #[test]
    fn a_foreign_edit_made_since_stays() {
        let after = add(
            "version = 2\n# mine\n[plugins.\"io.containerd.grpc.v1.cri\"]\n",
            Schema::Two,
        );
        let edited = format!("{after}\n[metrics]\naddress = \"127.0.0.1:1338\"\n");
        let back = undo(&edited);
        assert!(
            back.contains("# mine") && back.contains("[metrics]") && !back.contains("slipway"),
            "{back}"
        );
    }

    #[test]
    fn an_import_is_added_to_what_is_there_and_taken_out_again() {
        let path = Path::new("/c");
        let additions = Additions {
            import: Some("/d/*.toml".to_owned()),
            ..Default::default()
        };
        for text in [
            "version = 3\n",
            "version = 3\nimports = [\"/x/*.toml\"]\n[plugins]\n",
            "# only a comment\n",
        ] {
            let after = add_import(path, text, "/d/*.toml").unwrap();
            let document = document::parse(path, &after).unwrap();
            assert!(
                imports(path, &document)
                    .unwrap()
                    .contains(&"/d/*.toml".to_owned()),
                "{after}"
            );
            assert_eq!(
                withdraw(path, &after, Path::new(ROOT), &additions).unwrap(),
                text
            );
        }
        assert!(add_import(path, "imports = 3", "/d").is_err());
    }

    #[test]
    fn local_image_pull_is_added_and_taken_out_again() {
        let path = Path::new("/etc/containerd/c.toml");
        let additions = Additions {
            local_image_pull: Some("c.toml".to_owned()),
            ..Default::default()
        };
        for text in [
            "version = 3\n",
            "version = 2\n[plugins.\"io.containerd.cri.v1.images\"]\nmax_concurrent_downloads = 5 # theirs\n",
        ] {
            let after = add_local_image_pull(path, text).unwrap();
            assert!(after.contains("use_local_image_pull = true"), "{after}");
            let back = |path: &Path| withdraw(path, &after, Path::new(ROOT), &additions).unwrap();
            assert_eq!(back(path), text);
            assert_eq!(
                back(Path::new("/etc/containerd/other.toml")),
                after,
                "another file's is not ours"
            );
        }
    }

    #[test]
    fn an_adopted_handler_is_ours_by_name_and_shim() {
        let shim = Path::new("/usr/local/bin/containerd-shim-spin-v2");
        let mut additions = Additions::default();
        additions.adopted.insert("spin".to_owned(), shim.to_owned());
        let text = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.crun]\nruntime_type = \"/usr/local/bin/containerd-shim-spin-v2\"\n";
        let handlers = [Handler::plain("spin", shim)];
        let after = add_handlers(Path::new("/c"), text, Schema::Two, &handlers, false).unwrap();
        let back = withdraw(Path::new("/c"), &after, Path::new(ROOT), &additions).unwrap();
        assert_eq!(back, text);
    }

    #[test]
    fn a_key_on_the_way_that_is_no_table_is_named() {
        let error = add_handlers(
            Path::new("/c"),
            "version = 2\nplugins = 1\n",
            Schema::Two,
            &[Handler::plain("wasmtime", Path::new(SHIM))],
            false,
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "/c: plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes is not a table"
        );
    }

    #[test]
    fn what_is_not_ours_is_not_touched_by_one_byte() {
        let text = "version = 2\n\n  [plugins]   # odd\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.spin]\nruntime_type = \"/opt/kwasm/bin/x\"";
        assert_eq!(undo(text), text);
    }
}
