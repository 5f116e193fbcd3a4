//! What is to be installed: the JSON of `--spec`, which comes from a custom resource and so from outside.
//!
//! ```json
//! {"handlers": [{"name": "spin", "options": {}, "podAnnotations": ["x/*"], "sandboxer": "podsandbox"}],
//!  "binary": "containerd-shim-spin-v2", "adopt": "/usr/local/bin/containerd-shim-spin-v2",
//!  "localImagePull": false, "leftovers": "keep"}
//! ```

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::containerd::handler::{Handler, Sandboxer};
use crate::payload::{INSTALLER, SHIM};

/// Longest text. Our shim takes 64 KiB of options (`docs/reference/options.md`), and a Job's environment no more.
pub const MAX_BYTES: usize = 64 * 1024;

/// Most handlers of one shim.
pub const MAX_HANDLERS: usize = 16;

/// Most patterns of annotations of one handler.
const MAX_PATTERNS: usize = 16;

/// Longest pattern: an annotation's key has a prefix of 253, a slash and a name of 63 characters
/// (`ValidateAnnotations`, kubernetes/pkg/apis/core/validation).
const MAX_PATTERN: usize = 317;

/// Longest path on the host (`PATH_MAX`).
const MAX_PATH: usize = 4096;

/// How deep options may be nested. Deeper than any shim's, and far from where a TOML reader would give up.
const MAX_DEPTH: usize = 8;

/// What to install.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// The handlers to serve.
    pub handlers: Vec<HandlerSpec>,
    /// The file of the payload that is the shim.
    #[serde(default = "default_binary")]
    pub binary: String,
    /// A shim that is on the host already; nothing is placed then.
    #[serde(default)]
    pub adopt: Option<PathBuf>,
    /// Whether containerd shall pull images the older way (`docs/images.md`), which concerns the whole node.
    #[serde(default)]
    pub local_image_pull: bool,
    /// What to do with what other installers left.
    #[serde(default)]
    pub leftovers: Leftovers,
}

/// A handler, as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HandlerSpec {
    /// Its name.
    pub name: String,
    /// Its options, for the shim.
    #[serde(default)]
    pub options: Map<String, Value>,
    /// Which annotations reach the shim; by default those our own shim knows, and none for another.
    #[serde(default)]
    pub pod_annotations: Option<Vec<String>>,
    /// Who makes the sandbox of its pods.
    #[serde(default)]
    pub sandboxer: Sandboxer,
}

/// What to do with the folders and tables of installers that are no longer maintained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leftovers {
    /// Name them in the report.
    #[default]
    Keep,
    /// Take them away.
    Remove,
}

/// What is wrong with a spec, with the field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Too long.
    #[error("the spec has {0} bytes, more than {MAX_BYTES}")]
    TooLong(usize),
    /// Not the JSON that was agreed on.
    #[error("{field}: {why}")]
    Field {
        /// The path of the field, `.` for the whole.
        field: String,
        /// In words.
        why: String,
    },
}

fn default_binary() -> String {
    SHIM.to_owned()
}

fn wrong(field: impl Into<String>, why: impl Into<String>) -> SpecError {
    SpecError::Field {
        field: field.into(),
        why: why.into(),
    }
}

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        if text.len() > MAX_BYTES {
            return Err(SpecError::TooLong(text.len()));
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let spec: Self = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| wrong(error.path().to_string(), error.inner().to_string()))?;
        json.end().map_err(|error| wrong(".", error.to_string()))?;
        spec.check()?;
        Ok(spec)
    }
}

impl Spec {
    /// The short form: handlers of the bundled shim, without options. A name that comes twice counts once.
    pub fn of_names(names: &[String]) -> Self {
        let mut seen = BTreeSet::new();
        let handlers = names.iter().filter(|name| seen.insert(name.as_str()));
        Self {
            handlers: handlers
                .map(|name| HandlerSpec {
                    name: name.clone(),
                    options: Map::new(),
                    pod_annotations: None,
                    sandboxer: Sandboxer::default(),
                })
                .collect(),
            binary: default_binary(),
            adopt: None,
            local_image_pull: false,
            leftovers: Leftovers::Keep,
        }
    }

    /// The handlers as tables of a shim at a path of the host.
    pub fn tables(&self, shim: &Path) -> Vec<Handler> {
        let table = |spec: &HandlerSpec| {
            let plain = Handler::plain(&spec.name, shim);
            Handler {
                options: spec.options.clone(),
                annotations: spec.pod_annotations.clone().unwrap_or(plain.annotations),
                sandboxer: spec.sandboxer,
                name: plain.name,
                shim: plain.shim,
            }
        };
        self.handlers.iter().map(table).collect()
    }

    fn check(&self) -> Result<(), SpecError> {
        if !(1..=MAX_HANDLERS).contains(&self.handlers.len()) {
            let found = self.handlers.len();
            return Err(wrong(
                "handlers",
                format!("expected 1 to {MAX_HANDLERS} handlers, found {found}"),
            ));
        }
        let mut seen = BTreeSet::new();
        for (at, handler) in self.handlers.iter().enumerate() {
            let field = |name: &str| format!("handlers[{at}].{name}");
            handler_name(&handler.name).map_err(|why| wrong(field("name"), why))?;
            if !seen.insert(&handler.name) {
                let why = format!("{:?} is named twice", handler.name);
                return Err(wrong(field("name"), why));
            }
            check_options(&field("options"), &handler.options, 1)?;
            let patterns = handler.pod_annotations.as_deref().unwrap_or_default();
            check_patterns(&field("podAnnotations"), patterns)?;
        }
        file_name(&self.binary).map_err(|why| wrong("binary", why))?;
        match &self.adopt {
            Some(path) => check_path(path).map_err(|why| wrong("adopt", why)),
            None => Ok(()),
        }
    }
}

/// Options must have a counterpart in TOML: no `null`, no number beyond 64 bits.
fn check_options(field: &str, options: &Map<String, Value>, depth: usize) -> Result<(), SpecError> {
    for (key, value) in options {
        check_option(&format!("{field}.{key}"), value, depth)?;
    }
    Ok(())
}

fn check_option(field: &str, value: &Value, depth: usize) -> Result<(), SpecError> {
    if depth > MAX_DEPTH {
        let why = format!("options are nested more than {MAX_DEPTH} deep");
        return Err(wrong(field, why));
    }
    match value {
        Value::Null => Err(wrong(
            field,
            "null cannot be written in TOML: leave the option out",
        )),
        Value::Number(number) if number.as_i64().is_none() && !number.is_f64() => {
            Err(wrong(field, format!("{number} does not fit into 64 bits")))
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items
                .try_for_each(|(at, item)| check_option(&format!("{field}[{at}]"), item, depth + 1))
        }
        Value::Object(object) => check_options(field, object, depth + 1),
        _ => Ok(()),
    }
}

fn check_patterns(field: &str, patterns: &[String]) -> Result<(), SpecError> {
    if patterns.len() > MAX_PATTERNS {
        let why = format!(
            "expected at most {MAX_PATTERNS} patterns, found {}",
            patterns.len()
        );
        return Err(wrong(field, why));
    }
    let bad = |pattern: &&String| {
        pattern.is_empty()
            || pattern.len() > MAX_PATTERN
            || !pattern.bytes().all(|b| b.is_ascii_graphic())
    };
    match patterns.iter().find(bad) {
        None => Ok(()),
        Some(pattern) => Err(wrong(
            field,
            format!(
                "{pattern:?} is no pattern of annotations: at most {MAX_PATTERN} printable characters"
            ),
        )),
    }
}

/// A name in a folder of binaries.
pub fn file_name(text: &str) -> Result<(), String> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._+".contains(&b));
    if text == INSTALLER {
        Err("that is this program's own name".to_owned())
    } else if text.is_empty() || text.len() > 255 || text.starts_with('.') || !plain {
        Err(format!(
            "{text:?} is no file name: at most 255 of letters, digits and -._+, not starting with a dot"
        ))
    } else {
        Ok(())
    }
}

/// A path whose meaning depends on nothing else, and that containerd can take as a `runtime_type`.
fn check_path(path: &Path) -> Result<(), String> {
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let text = path.to_str();
    if text.is_some_and(|text| text.len() <= MAX_PATH && !text.contains(char::is_control))
        && path.is_absolute()
        && path.file_name().is_some()
        && plain
    {
        Ok(())
    } else {
        Err(format!(
            "{path:?} is no absolute path without .. of a file on the host"
        ))
    }
}

/// A handler becomes a TOML key and a RuntimeClass's handler, which Kubernetes limits to a DNS label
/// (`ValidateRuntimeClass`, kubernetes/pkg/apis/node/validation).
pub fn handler_name(text: &str) -> Result<(), String> {
    match (is_label(text), text) {
        (true, "runc") => Err("runc is the node's own handler".to_owned()),
        (true, _) => Ok(()),
        (false, _) => Err(
            "a handler is a DNS label: at most 63 of a-z, 0-9 and -, not starting or ending with -"
                .to_owned(),
        ),
    }
}

/// Whether a text is a DNS label (RFC 1123).
pub fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn everything_has_a_default_but_the_handlers() {
        let spec: Spec = r#"{"handlers":[{"name":"wasmtime"}]}"#.parse().unwrap();
        assert_eq!(
            spec,
            Spec::of_names(&["wasmtime".to_owned(), "wasmtime".to_owned()])
        );
    }

    #[test]
    fn a_whole_spec_is_read() {
        let text = r#"{"handlers":[{"name":"spin","options":{"mode":"auto"},"podAnnotations":["a/*"],"sandboxer":"shim"}],
            "binary":"containerd-shim-spin-v2","adopt":"/usr/local/bin/containerd-shim-spin-v2","localImagePull":true,
            "leftovers":"remove"}"#;
        let spec: Spec = text.parse().unwrap();
        assert_eq!(spec.leftovers, Leftovers::Remove);
        assert!(spec.local_image_pull);
        let tables = spec.tables(spec.adopt.as_deref().unwrap());
        assert_eq!(tables[0].annotations, ["a/*"]);
        assert_eq!(tables[0].sandboxer, Sandboxer::Shim);
    }

    #[rstest]
    #[case("{}", "missing field `handlers`")]
    #[case(r#"{"handlers":[]}"#, "handlers: expected 1 to 16 handlers, found 0")]
    #[case(
        r#"{"handlers":[{"name":"a"},{"name":"a"}]}"#,
        "handlers[1].name: \"a\" is named twice"
    )]
    #[case(
        r#"{"handlers":[{"name":"runc"}]}"#,
        "handlers[0].name: runc is the node's own handler"
    )]
    #[case(
        r#"{"handlers":[{"name":"A"}]}"#,
        "handlers[0].name: a handler is a DNS label"
    )]
    #[case(r#"{"handlers":[{"name":"a","option":{}}]}"#, "unknown field `option`")]
    #[case(
        r#"{"handlers":[{"name":"a","sandboxer":"none"}]}"#,
        "handlers[0].sandboxer: unknown variant `none`"
    )]
    #[case(
        r#"{"handlers":[{"name":"a"}],"localImagePull":"yes"}"#,
        "localImagePull: invalid type: string"
    )]
    #[case(
        r#"{"handlers":[{"name":"a"}],"leftovers":"burn"}"#,
        "leftovers: unknown variant `burn`"
    )]
    #[case(r#"{"handlers":[{"name":"a"}],"more":1}"#, "unknown field `more`")]
    #[case(
        r#"{"handlers":[{"name":"a"}],"binary":"../x"}"#,
        "binary: \"../x\" is no file name"
    )]
    #[case(
        r#"{"handlers":[{"name":"a"}],"binary":"slipway-node-installer"}"#,
        "binary: that is this program's own name"
    )]
    #[case(
        r#"{"handlers":[{"name":"a"}],"adopt":"bin/x"}"#,
        "adopt: \"bin/x\" is no absolute path"
    )]
    #[case(
        r#"{"handlers":[{"name":"a"}],"adopt":"/a/../x"}"#,
        "adopt: \"/a/../x\" is no absolute path"
    )]
    #[case(
        r#"{"handlers":[{"name":"a","options":{"x":{"y":null}}}]}"#,
        "handlers[0].options.x.y: null cannot be written"
    )]
    #[case(
        r#"{"handlers":[{"name":"a","options":{"x":18446744073709551615}}]}"#,
        "does not fit into 64 bits"
    )]
    #[case(
        r#"{"handlers":[{"name":"a","options":{"x":[[[[[[[[1]]]]]]]]}}]}"#,
        "nested more than 8 deep"
    )]
    #[case(
        r#"{"handlers":[{"name":"a","podAnnotations":["a b"]}]}"#,
        "handlers[0].podAnnotations: \"a b\" is no pattern"
    )]
    #[case(r#"{"handlers":[{"name":"a"}]} x"#, "trailing characters")]
    fn what_is_wrong_is_named(#[case] text: &str, #[case] why: &str) {
        let error = text.parse::<Spec>().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn a_long_spec_is_not_read_at_all() {
        let long = format!(
            "{{\"handlers\":[{{\"name\":\"{}\"}}]}}",
            "a".repeat(MAX_BYTES)
        );
        assert!(matches!(long.parse::<Spec>(), Err(SpecError::TooLong(_))));
    }
}
