//! What to write for CRI-O: one drop-in, a pure function of the files as they would be without us.

use std::path::Path;

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::crun;
use crate::containerd::document;
use crate::containerd::imports::Source;
use crate::containerd::plan::{self, DROP_IN, Observed, Plan, PlanError, PlannedFile};
use crate::containerd::rewrite::{Additions, DROP_IN_HEADER};
use crate::containerd::schema::Schema;
use crate::containerd::tables;
use crate::report::Method;

/// CRI-O's runtime where nothing names another (`DefaultRuntime`, `pkg/config`@v1.34.0).
const DEFAULT_RUNTIME: &str = "crun";

/// What watches a container is the node's business, and CRI-O does not start with a handler whose monitor is not found:
/// these keys are taken over from the node's default runtime.
const MONITOR: [&str; 3] = ["monitor_path", "monitor_cgroup", "monitor_env"];

/// How the node's default runtime is watched.
#[derive(Debug, Clone)]
pub(super) struct Monitor {
    /// `oci` is conmon, `pod` conmon-rs.
    pub(super) runtime_type: String,
    /// The keys of [`MONITOR`] that are set.
    pub(super) settings: Vec<(&'static str, Value)>,
}

/// Plans a drop-in into a folder.
///
/// # Errors
/// When a file does not parse, or a handler or the drop-in's name is somebody else's.
pub fn plan(observed: &Observed<'_>, folder: &Path) -> Result<Plan, PlanError> {
    for source in observed.sources {
        plan::refuse_taken(source, Schema::CriO, observed.handlers)?;
    }
    let path = folder.join(DROP_IN);
    if observed.sources.iter().any(|source| source.path == path) {
        return Err(PlanError::DropInTaken(path));
    }
    let monitor = monitor(observed.sources)?;
    let mut document = DocumentMut::new();
    if let Some(runtimes) = tables::runtimes_or_insert(&mut document, Schema::CriO) {
        for handler in observed.handlers {
            runtimes.insert(&handler.name, Item::Table(crun::table(handler, &monitor)));
        }
    }
    Ok(Plan {
        method: Method::DropIn,
        files: vec![PlannedFile {
            path,
            base: None,
            after: format!("{DROP_IN_HEADER}{document}"),
        }],
        additions: Additions {
            adopted: plan::adopted(observed),
            ..Additions::default()
        },
        preview: None,
    })
}

/// The last file that says so counts, and a table replaces one of its name in an earlier file as a whole.
fn monitor(sources: &[Source]) -> Result<Monitor, PlanError> {
    let mut documents = Vec::new();
    for source in sources {
        documents.push(document::parse(&source.path, &source.text)?);
    }
    let named = documents.iter().rev().find_map(|document| {
        let runtime = document.get("crio")?.as_table_like()?.get("runtime")?;
        let name = runtime.as_table_like()?.get("default_runtime")?.as_str()?;
        (!name.is_empty()).then(|| name.to_owned())
    });
    let name = named.unwrap_or_else(|| DEFAULT_RUNTIME.to_owned());
    let table = documents.iter().rev().find_map(|document| {
        tables::runtimes(document, Schema::CriO)?
            .get(&name)?
            .as_table_like()
    });
    let text = |key: &str| table.and_then(|table: &dyn TableLike| table.get(key)?.as_str());
    let settings = MONITOR.into_iter().filter_map(|key| {
        let mut value = table?.get(key)?.as_value()?.clone();
        value.decor_mut().clear();
        Some((key, value))
    });
    Ok(Monitor {
        // A default runtime of virtual machines says nothing about conmon.
        runtime_type: if text("runtime_type") == Some("pod") {
            "pod"
        } else {
            "oci"
        }
        .to_owned(),
        settings: settings.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Source {
        Source {
            path: Path::new("/etc/crio/crio.conf.d").join(name),
            text: text.to_owned(),
        }
    }

    #[test]
    fn containers_are_watched_as_those_of_the_default_runtime() {
        let crun = source(
            "10-crun.conf",
            "[crio.runtime]\ndefault_runtime = \"crun\"\n[crio.runtime.runtimes.crun]\nruntime_type = \"pod\"\n\
             monitor_path = \"/usr/libexec/crio/conmonrs\" # why\n[crio.runtime.runtimes.runc]\nmonitor_path = \"/x\"\n",
        );
        let found = monitor(std::slice::from_ref(&crun)).unwrap();
        assert_eq!(found.runtime_type, "pod");
        let rendered = |monitor: &Monitor| {
            let settings = monitor.settings.iter();
            settings
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            rendered(&found),
            ["monitor_path=\"/usr/libexec/crio/conmonrs\""]
        );

        let runc = source("20-runc.conf", "crio.runtime.default_runtime = \"runc\"\n");
        let found = monitor(&[crun, runc]).unwrap();
        assert_eq!(found.runtime_type, "oci");
        assert_eq!(rendered(&found), ["monitor_path=\"/x\""]);

        let found = monitor(&[]).unwrap();
        assert!(found.runtime_type == "oci" && found.settings.is_empty());
    }
}
