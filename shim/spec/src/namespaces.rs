//! `linux.namespaces`.

use std::path::{Path, PathBuf};

use slipway_shim_oci::{self as oci, Linux, NamespaceType};
use slipway_shim_wire::{Namespace, NamespaceKind};

use crate::SpecError;

/// The PID namespace of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PidNamespace {
    /// A new one, the worker its PID 1.
    New,
    /// The one at this path: a pod with a shared process namespace.
    Join(PathBuf),
    /// The one of the shim: `hostPID: true`.
    Host,
}

fn entries(linux: Option<&Linux>) -> &[oci::Namespace] {
    linux
        .and_then(|linux| linux.namespaces.as_deref())
        .unwrap_or_default()
}

/// The PID namespace asked for.
pub(crate) fn pid(linux: Option<&Linux>) -> Result<PidNamespace, SpecError> {
    let mut found = PidNamespace::Host;
    for (index, entry) in entries(linux).iter().enumerate() {
        if entry.typ != NamespaceType::Pid {
            continue;
        }
        if found != PidNamespace::Host {
            return Err(repeated(index));
        }
        found = match path(index, entry)? {
            Some(path) => PidNamespace::Join(path),
            None => PidNamespace::New,
        };
    }
    Ok(found)
}

/// All but the PID and user namespaces, in the order in which a worker can enter them: the mount namespace last, since
/// paths of the others are looked up in the old one.
pub(crate) fn entered_by_worker(linux: Option<&Linux>) -> Result<Vec<Namespace>, SpecError> {
    let mut found: Vec<Namespace> = Vec::new();
    for (index, entry) in entries(linux).iter().enumerate() {
        let kind = match entry.typ {
            NamespaceType::Pid | NamespaceType::User => continue,
            NamespaceType::Ipc => NamespaceKind::Ipc,
            NamespaceType::Uts => NamespaceKind::Uts,
            NamespaceType::Network => NamespaceKind::Net,
            NamespaceType::Mount => NamespaceKind::Mount,
            NamespaceType::Cgroup => NamespaceKind::Cgroup,
            NamespaceType::Time => {
                return Err(SpecError::unsupported(
                    format!("linux.namespaces[{index}]"),
                    "a time namespace",
                ));
            }
        };
        if found.iter().any(|other| other.kind == kind) {
            return Err(repeated(index));
        }
        let path = path(index, entry)?;
        if kind == NamespaceKind::Mount && path.is_some() {
            return Err(SpecError::unsupported(
                format!("linux.namespaces[{index}].path"),
                "joining an existing mount namespace",
            ));
        }
        found.push(Namespace { kind, path });
    }
    found.sort_by_key(|namespace| namespace.kind == NamespaceKind::Mount);
    if found.last().map(|last| last.kind) != Some(NamespaceKind::Mount) {
        return Err(SpecError::invalid(
            "linux.namespaces",
            "no mount namespace: a container needs one of its own",
        ));
    }
    Ok(found)
}

/// Whether the container is apart from the host in this respect, by a namespace made or joined.
pub(crate) fn own(namespaces: &[Namespace], kind: NamespaceKind) -> bool {
    namespaces.iter().any(|namespace| namespace.kind == kind)
}

/// Whether the container gets a new namespace of this kind.
pub(crate) fn made(namespaces: &[Namespace], kind: NamespaceKind) -> bool {
    namespaces
        .iter()
        .any(|namespace| namespace.kind == kind && namespace.path.is_none())
}

pub(crate) fn path(index: usize, entry: &oci::Namespace) -> Result<Option<PathBuf>, SpecError> {
    let Some(path) = entry.path.as_deref().filter(|path| *path != Path::new("")) else {
        return Ok(None);
    };
    if !path.is_absolute() || path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(SpecError::invalid(
            format!("linux.namespaces[{index}].path"),
            format!("{path:?} is not an absolute path"),
        ));
    }
    Ok(Some(path.to_owned()))
}

pub(crate) fn repeated(index: usize) -> SpecError {
    SpecError::invalid(
        format!("linux.namespaces[{index}]"),
        "a second namespace of the same type",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linux(json: &str) -> Linux {
        serde_json::from_str(&format!("{{\"namespaces\":{json}}}")).unwrap()
    }

    #[test]
    fn the_pid_namespace_is_for_the_spawn() {
        let new = linux(r#"[{"type":"pid"},{"type":"mount"}]"#);
        assert_eq!(pid(Some(&new)).unwrap(), PidNamespace::New);
        let joined = linux(r#"[{"type":"pid","path":"/proc/7/ns/pid"},{"type":"mount"}]"#);
        assert_eq!(
            pid(Some(&joined)).unwrap(),
            PidNamespace::Join("/proc/7/ns/pid".into())
        );
        assert_eq!(pid(None).unwrap(), PidNamespace::Host);
        assert_eq!(entered_by_worker(Some(&new)).unwrap().len(), 1);
    }

    #[test]
    fn the_mount_namespace_comes_last() {
        let linux =
            linux(r#"[{"type":"mount"},{"type":"network","path":"/run/netns/a"},{"type":"uts"}]"#);
        let kinds: Vec<_> = entered_by_worker(Some(&linux))
            .unwrap()
            .into_iter()
            .map(|namespace| namespace.kind)
            .collect();
        assert_eq!(
            kinds,
            [NamespaceKind::Net, NamespaceKind::Uts, NamespaceKind::Mount]
        );
    }

    #[test]
    fn what_cannot_be_entered_is_refused_by_name() {
        let cases = [
            (
                r#"[{"type":"mount"},{"type":"time"}]"#,
                "linux.namespaces[1]: a time namespace is not supported",
            ),
            (
                r#"[{"type":"uts"}]"#,
                "linux.namespaces: no mount namespace",
            ),
            (
                r#"[{"type":"mount"},{"type":"mount"}]"#,
                "linux.namespaces[1]: a second namespace",
            ),
            (
                r#"[{"type":"mount"},{"type":"ipc","path":"relative"}]"#,
                "linux.namespaces[1].path: \"relative\" is not an absolute path",
            ),
        ];
        for (json, expected) in cases {
            let message = entered_by_worker(Some(&linux(json)))
                .unwrap_err()
                .to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
