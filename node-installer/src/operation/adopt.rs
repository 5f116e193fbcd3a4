//! A shim that is on the host already (Talos, Bottlerocket, a system extension, a package): it is verified, never
//! placed or removed, and only the handlers that nobody serves are written.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::runtime::Runtime;

use crate::containerd::dump::Runtime as Handled;
use crate::failure::Failure;
use crate::host::HostRoot;
use crate::journal::InstalledShim;
use crate::payload::{place, source};
use crate::spec::Spec;

/// Whether the host's shim is there and runs.
pub(super) fn verify(runtime: &Runtime, root: &HostRoot, path: &Path) -> Result<(), Failure> {
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
    place::probe(runtime, root, path).map_err(|error| Failure::refused(&error))
}

/// What to record of it: the handlers to write, and those that somebody else's tables serve with this shim already.
pub(super) fn shim(
    runtimes: &BTreeMap<String, Handled>,
    is_ours: impl Fn(&str, &str) -> bool,
    spec: &Spec,
    path: &Path,
) -> Result<InstalledShim, Failure> {
    let mut served = BTreeMap::new();
    let mut handlers = Vec::new();
    for handler in spec.tables(path) {
        let table = runtimes.get(&handler.name);
        match table.filter(|table| !is_ours(&handler.name, &table.runtime_type)) {
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
fn is_by(table: &Handled, path: &Path) -> bool {
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
    use std::fs;

    #[test]
    fn only_what_is_there_and_runs_is_adopted() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let root = HostRoot::new(Path::new("/")).unwrap();
        let shim = dir.path().join("containerd-shim-x-v1");
        let try_it = || {
            verify(&runtime, &root, &shim)
                .err()
                .map(|failure| failure.reason)
        };
        assert_eq!(try_it(), Some("AdoptUnusable"), "it is not there");
        fs::write(&shim, "#!/bin/sh\n[ \"$1\" = -v ]\n").unwrap();
        assert_eq!(try_it(), Some("AdoptUnusable"), "it is not executable");
        let executable = || fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
        executable();
        assert_eq!(try_it(), None);
        fs::write(&shim, "#!/bin/sh\nexit 1\n").unwrap();
        assert_eq!(try_it(), Some("PayloadNotRunnable"));
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
        elf.extend(22u16.to_le_bytes());
        fs::write(&shim, elf).unwrap();
        assert_eq!(try_it(), Some("WrongArchitecture"));
        fs::remove_file(&shim).unwrap();
        fs::create_dir(&shim).unwrap();
        assert_eq!(try_it(), Some("AdoptUnusable"), "a folder");
    }

    #[test]
    fn handlers_that_somebody_serves_are_verified_and_the_others_written() {
        let path = Path::new("/usr/local/bin/containerd-shim-spin-v2");
        let spec: Spec = r#"{"handlers":[{"name":"spin"},{"name":"spin-slow"},{"name":"mine"}]}"#
            .parse()
            .unwrap();
        let table = |kind: &str| Handled {
            runtime_type: kind.to_owned(),
            settings: BTreeMap::new(),
        };
        let mut runtimes = BTreeMap::from([
            ("runc".to_owned(), table("io.containerd.runc.v2")),
            ("spin".to_owned(), table("io.containerd.spin.v2")),
            (
                "mine".to_owned(),
                table("/usr/local/bin/containerd-shim-spin-v2"),
            ),
        ]);
        let is_ours = |name: &str, _: &str| name == "mine";
        let found = shim(&runtimes, is_ours, &spec, path).unwrap();
        let written: Vec<&str> = found.handlers.iter().map(|h| h.name.as_str()).collect();
        assert_eq!(written, ["spin-slow", "mine"]);
        assert_eq!(found.served["spin"], "io.containerd.spin.v2");
        assert_eq!((found.served.len(), found.digest), (1, None));

        runtimes.insert("spin-slow".to_owned(), table("io.containerd.kata.v2"));
        let failure = shim(&runtimes, is_ours, &spec, path).unwrap_err();
        assert_eq!(failure.reason, "HandlerTaken");
        assert!(failure.message.contains("spin-slow"), "{}", failure.message);
    }

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
        let table = Handled {
            runtime_type: runtime_type.to_owned(),
            settings: path.into_iter().collect(),
        };
        let shim = Path::new("/usr/local/bin/containerd-shim-spin-v2");
        assert_eq!(is_by(&table, shim), expected);
    }
}
