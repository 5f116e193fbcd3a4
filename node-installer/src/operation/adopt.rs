//! A shim that is on the host already (Talos, Bottlerocket, a system extension, a package): it is verified, never
//! placed or removed, and only the handlers that nobody serves are written.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::settle::Found;
use crate::containerd::dump::Runtime;
use crate::failure::Failure;
use crate::journal::InstalledShim;
use crate::payload::{place, source};
use crate::spec::Spec;

/// Whether the host's shim is there and runs.
pub(super) fn verify(found: &Found<'_>, path: &Path) -> Result<(), Failure> {
    let root = &found.session.root;
    let local = root
        .locate(path)
        .map_err(|error| Failure::refused(&error))?;
    let refusal = |what: &str| {
        let message = format!("the shim to adopt, {}, {what}", path.display());
        Failure::refusal("AdoptUnusable", message)
    };
    let meta = match local.metadata() {
        Ok(meta) => meta,
        Err(error) => return Err(refusal(&format!("cannot be found on the node: {error}"))),
    };
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Err(refusal("is no executable file"));
    }
    source::check_architecture(&local).map_err(|error| Failure::refused(&error))?;
    place::probe(&found.session.runtime, root, path).map_err(|error| Failure::refused(&error))
}

/// What to record of it: the handlers to write, and those that somebody else's tables serve with this shim already.
pub(super) fn shim(found: &Found<'_>, spec: &Spec, path: &Path) -> Result<InstalledShim, Failure> {
    let mut served = BTreeMap::new();
    let mut handlers = Vec::new();
    for handler in spec.tables(path) {
        let table = found.dump.runtimes.get(&handler.name);
        match table.filter(|table| !found.is_ours(&handler.name, &table.runtime_type)) {
            None => handlers.push(handler),
            Some(table) if is_by(table, path) => {
                served.insert(handler.name, table.runtime_type.clone());
            }
            Some(table) => {
                return Err(Failure::refusal(
                    "HandlerTaken",
                    format!(
                        "the handler {} is already defined with the runtime_type {:?}, which is not {}: choose another handler",
                        handler.name,
                        table.runtime_type,
                        path.display()
                    ),
                ));
            }
        }
    }
    Ok(InstalledShim {
        digest: None,
        path: path.to_owned(),
        handlers,
        served,
        local_image_pull: spec.local_image_pull,
    })
}

/// Whether a table names a shim: by its path, or by the name that containerd turns into a file's
/// (`io.containerd.spin.v2` is `containerd-shim-spin-v2`; `BinaryName`, containerd `pkg/shim/util.go`).
fn is_by(table: &Runtime, path: &Path) -> bool {
    let set = |key: &str| {
        let value = table.settings.get(key)?.trim_matches(['"', '\'']);
        Some(Path::new(value))
    };
    if let Some(explicit) = set("runtime_path") {
        return explicit == path;
    }
    if table.runtime_type.starts_with('/') {
        return Path::new(&table.runtime_type) == path;
    }
    let mut parts = table.runtime_type.rsplit('.');
    let (Some(version), Some(name)) = (parts.next(), parts.next()) else {
        return false;
    };
    let binary = format!("containerd-shim-{name}-{version}");
    path.file_name().is_some_and(|file| file == binary.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/usr/local/bin/containerd-shim-spin-v2", None, true)]
    #[case("/opt/containerd-shim-spin-v2", None, false)]
    #[case("io.containerd.spin.v2", None, true)]
    #[case("io.containerd.spin.v1", None, false)]
    #[case("io.containerd.runc.v2", None, false)]
    #[case(
        "io.containerd.x.v2",
        Some("\"/usr/local/bin/containerd-shim-spin-v2\""),
        true
    )]
    #[case("io.containerd.spin.v2", Some("'/opt/other'"), false)]
    #[case("spin", None, false)]
    fn a_table_names_a_shim_by_path_or_name(
        #[case] runtime_type: &str,
        #[case] runtime_path: Option<&str>,
        #[case] expected: bool,
    ) {
        let path = runtime_path.map(|path| ("runtime_path".to_owned(), path.to_owned()));
        let table = Runtime {
            runtime_type: runtime_type.to_owned(),
            settings: path.into_iter().collect(),
        };
        let shim = Path::new("/usr/local/bin/containerd-shim-spin-v2");
        assert_eq!(is_by(&table, shim), expected);
    }
}
