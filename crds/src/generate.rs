//! The definitions as YAML, and keeping the generated files equal to them.

use std::path::{Path, PathBuf};
use std::{fs, io};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSON;
use kube::CustomResourceExt as _;
use serde_json::json;

use crate::{NodeShim, Shim};

/// Where generated files live, from the repository's root: the golden copy, and the chart's.
const FOLDERS: [&str; 2] = ["crds/yaml", "charts/slipway/files/crds"];

const HEADER: &str = "# Generated from crds/src by `crdgen --write`; do not edit.\n";

/// Why generated files could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A definition is not to be had as YAML.
    #[error("definition {name}: cannot be written as YAML")]
    Render {
        /// The definition.
        name: String,
        /// Why not.
        #[source]
        source: serde_saphyr::ser::Error,
    },
    /// A file cannot be read or written.
    #[error("{}: cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Every definition of this crate.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![NodeShim::crd(), Shim::crd()]
        .into_iter()
        .map(unobserved)
        .collect()
}

/// An object that nobody has looked at yet says so. Without it kstatus takes one without conditions for done, so that
/// whoever waits for it would not wait.
fn unobserved(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut();
        let root = schema.and_then(|schema| schema.open_api_v3_schema.as_mut());
        let properties = root.and_then(|root| root.properties.as_mut());
        if let Some(status) = properties.and_then(|all| all.get_mut("status")) {
            status.default = Some(JSON(json!({ "observedGeneration": -1 })));
        }
    }
    definition
}

/// Each definition's file name and YAML.
///
/// # Errors
/// When a definition has no YAML form.
pub fn files() -> Result<Vec<(String, String)>, Error> {
    definitions()
        .into_iter()
        .map(|definition| {
            let name = definition.metadata.name.clone().unwrap_or_default();
            let yaml = serde_saphyr::to_string(&definition).map_err(|source| Error::Render {
                name: name.clone(),
                source,
            })?;
            Ok((format!("{name}.yaml"), format!("{HEADER}{yaml}")))
        })
        .collect()
}

/// The generated files under `root` that are missing or differ.
///
/// # Errors
/// When a file is there but cannot be read.
pub fn stale(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut stale = Vec::new();
    for (path, wanted) in paths(root)? {
        match fs::read_to_string(&path) {
            Ok(found) if found == wanted => {}
            Ok(_) => stale.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => stale.push(path),
            Err(source) => return Err(Error::File { path, source }),
        }
    }
    Ok(stale)
}

/// Writes every generated file under `root`.
///
/// # Errors
/// When a file cannot be written.
pub fn write(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut written = Vec::new();
    for (path, text) in paths(root)? {
        let put = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, &text)
        };
        put().map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
        written.push(path);
    }
    Ok(written)
}

fn paths(root: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let files = files()?;
    Ok(FOLDERS
        .iter()
        .flat_map(|folder| {
            files
                .iter()
                .map(move |(name, text)| (root.join(folder).join(name), text.clone()))
        })
        .collect())
}
