//! What `containerd config dump` prints: the configuration as containerd itself understands it, in the newest version
//! it knows. Read, and never written anywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::document::{self, DocumentError};
use super::schema::Schema;
use super::tables;

/// The plugins that make up the CRI, by any version's name.
const CRI: [&str; 4] = [
    "cri",
    "io.containerd.grpc.v1.cri",
    "io.containerd.cri.v1.runtime",
    "io.containerd.cri.v1.images",
];

/// The effective configuration, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dump {
    /// `runtime_type` and the settings that differ from the default, by handler.
    pub runtimes: BTreeMap<String, Runtime>,
    /// The plugins that are off.
    pub disabled_plugins: Vec<String>,
    /// Where containerd keeps the state of running tasks.
    pub state: Option<PathBuf>,
    /// Whether images are pulled the older way: asked for, or because of an option that the newer way does not know
    /// (`CheckLocalImagePullConfigs`, `internal/cri/config/config.go`@v2.4.2).
    pub local_image_pull: bool,
}

/// A handler's effective table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runtime {
    /// Its type.
    pub runtime_type: String,
    /// Everything that is set, by dotted key.
    pub settings: BTreeMap<String, String>,
}

impl Dump {
    /// Reads containerd's output.
    pub fn parse(output: &str) -> Result<Self, DocumentError> {
        let document =
            document::parse(Path::new("the output of 'containerd config dump'"), output)?;
        Ok(Self {
            runtimes: read_runtimes(&document),
            disabled_plugins: disabled_plugins(&document),
            state: document
                .get("state")
                .and_then(Item::as_str)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            local_image_pull: pulls_locally(&document),
        })
    }

    /// The plugin that switches the CRI off, if one of those that make it up is disabled.
    pub fn disabled_cri(&self) -> Option<&str> {
        self.disabled_plugins
            .iter()
            .map(String::as_str)
            .find(|plugin| CRI.contains(plugin))
    }

    /// The runtimes that are not below the install root.
    pub fn foreign(&self, install_root: &Path) -> BTreeMap<&String, &Runtime> {
        self.runtimes
            .iter()
            .filter(|(_, runtime)| !Path::new(&runtime.runtime_type).starts_with(install_root))
            .collect()
    }
}

/// The plugin by which a single file switches the CRI off.
pub fn disabled_cri_in(text: &str) -> Option<String> {
    let document = text.parse::<DocumentMut>().ok()?;
    disabled_plugins(&document)
        .into_iter()
        .find(|plugin| CRI.contains(&plugin.as_str()))
}

fn disabled_plugins(document: &DocumentMut) -> Vec<String> {
    let disabled = document.get("disabled_plugins").and_then(Item::as_array);
    disabled
        .map(|array| {
            array
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default()
}

fn pulls_locally(document: &DocumentMut) -> bool {
    let images = document
        .get("plugins")
        .and_then(|plugins| plugins.as_table_like()?.get(tables::IMAGES));
    let Some(images) = images.and_then(Item::as_table_like) else {
        return false;
    };
    let is = |key: &str, value: bool| images.get(key).and_then(Item::as_bool) == Some(value);
    let has_registry = |key: &str| {
        let registry = images.get("registry").and_then(Item::as_table_like);
        let table = registry.and_then(|registry| registry.get(key)?.as_table_like());
        table.is_some_and(|table| !table.is_empty())
    };
    let downloads = images
        .get("max_concurrent_downloads")
        .and_then(Item::as_integer);
    is(tables::LOCAL_PULL, true)
        || is("disable_snapshot_annotations", false)
        || is("discard_unpacked_layers", true)
        || is("image_pull_with_sync_fs", true)
        || ["mirrors", "configs", "auths"]
            .into_iter()
            .any(has_registry)
        || downloads.is_some_and(|count| count != 3)
}

fn read_runtimes(document: &DocumentMut) -> BTreeMap<String, Runtime> {
    let found = Schema::ANY
        .into_iter()
        .find_map(|schema| tables::runtimes(document, schema));
    let Some(runtimes) = found else {
        return BTreeMap::new();
    };
    runtimes
        .iter()
        .filter_map(|(name, item)| {
            let mut settings = BTreeMap::new();
            flatten("", item.as_table_like()?, &mut settings);
            let runtime_type = tables::runtime_type(item).unwrap_or_default().to_owned();
            Some((
                name.to_owned(),
                Runtime {
                    runtime_type,
                    settings,
                },
            ))
        })
        .collect()
}

/// Collects what is set. A runtime that a file names prints the same as the built-in one but for defaults that are
/// spelled out, so empty values and the default sandboxer count as not set.
fn flatten(prefix: &str, table: &dyn TableLike, out: &mut BTreeMap<String, String>) {
    for (key, item) in table.iter() {
        let key = if prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{prefix}.{key}")
        };
        if let Some(inner) = item.as_table_like() {
            flatten(&key, inner, out);
            continue;
        }
        let value = item.to_string().trim().to_owned();
        let is_default = matches!(value.as_str(), "\"\"" | "''" | "0" | "false" | "[]")
            || (matches!(key.as_str(), "sandboxer" | "sandbox_mode")
                && value.trim_matches(['"', '\'']) == "podsandbox")
            || (key == "io_type" && value.trim_matches(['"', '\'']) == "fifo");
        if !is_default {
            out.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spelled_out_default_equals_the_default() {
        let built_in = Dump::parse(
            "version = 2\nstate = \"/run/containerd\"\ndisabled_plugins = []\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\nsandbox_mode = \"podsandbox\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = false\nBinaryName = \"\"\n",
        )
        .unwrap();
        let written = Dump::parse(
            "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\nsandboxer = ''\n",
        )
        .unwrap();
        assert_eq!(
            built_in.runtimes["runc"].runtime_type,
            written.runtimes["runc"].runtime_type
        );
        assert_eq!(
            built_in.runtimes["runc"]
                .settings
                .keys()
                .collect::<Vec<_>>(),
            written.runtimes["runc"].settings.keys().collect::<Vec<_>>()
        );
        assert_eq!(
            built_in.state.as_deref(),
            Some(Path::new("/run/containerd"))
        );
    }

    #[test]
    fn the_older_way_of_pulling_is_seen_however_it_came_about() {
        let pulls = |text: &str| {
            let text = format!("[plugins.'io.containerd.cri.v1.images']\n{text}\n");
            Dump::parse(&text).unwrap().local_image_pull
        };
        let default = "disable_snapshot_annotations = true\nmax_concurrent_downloads = 3\nuse_local_image_pull = false\n\
            [plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/etc'";
        assert!(!pulls(default));
        for text in [
            "use_local_image_pull = true",
            "disable_snapshot_annotations = false",
            "discard_unpacked_layers = true",
            "image_pull_with_sync_fs = true",
            "max_concurrent_downloads = 5",
            "[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'x']\nendpoint = []",
        ] {
            assert!(pulls(text), "{text}");
        }
        assert!(
            !Dump::parse("").unwrap().local_image_pull,
            "1.x has but one way"
        );
    }

    #[test]
    fn a_disabled_cri_is_seen_under_each_of_its_names() {
        let dump = Dump::parse(
            "disabled_plugins = ['io.containerd.internal.v1.opt', 'io.containerd.cri.v1.images']",
        );
        assert_eq!(
            dump.unwrap().disabled_cri(),
            Some("io.containerd.cri.v1.images")
        );
        assert_eq!(Dump::default().disabled_cri(), None);
        let docker = "disabled_plugins = [\"cri\"]\n";
        assert_eq!(disabled_cri_in(docker).as_deref(), Some("cri"));
        assert_eq!(disabled_cri_in("version = 3\n"), None);
    }
}
