//! User namespaces and ID-mapped mounts.

use slipway_shim_oci::{IdMapping, Linux, NamespaceType};
use slipway_shim_wire::{IdMap, IdMapped, IdMaps, Process, UserNamespace};

use crate::SpecError;
use crate::namespaces;

/// As many as the kernel takes (user_namespaces(7)).
const MAX_MAPPINGS: usize = 340;

/// The user namespace of `linux.namespaces`, with `linux.uidMappings` and `linux.gidMappings`.
pub(crate) fn namespace(linux: &Linux) -> Result<Option<UserNamespace>, SpecError> {
    let entries = linux.namespaces.as_deref().unwrap_or_default();
    let mut found = None;
    for (index, entry) in entries.iter().enumerate() {
        if entry.typ != NamespaceType::User {
            continue;
        }
        if found.is_some() {
            return Err(namespaces::repeated(index));
        }
        found = Some(namespaces::path(index, entry)?);
    }
    let maps = maps(
        "linux",
        linux.uid_mappings.as_deref(),
        linux.gid_mappings.as_deref(),
    )?;
    match (found, maps) {
        (Some(path), Some(maps)) => Ok(Some(UserNamespace { path, maps })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(SpecError::invalid(
            "linux.uidMappings",
            "given without a user namespace in linux.namespaces",
        )),
        (Some(_), None) => Err(SpecError::invalid(
            "linux.uidMappings",
            "missing, but linux.namespaces has a user namespace",
        )),
    }
}

/// Refuses a process whose user or group is nobody in its user namespace.
pub(crate) fn check(user: &UserNamespace, process: &Process) -> Result<(), SpecError> {
    let outside = |field: &str, id: u32| {
        let reason = format!("{id} is not mapped by the pod's user namespace");
        Err(SpecError::invalid(field, reason))
    };
    if user.maps.uid(process.uid).is_none() {
        return outside("process.user.uid", process.uid);
    }
    if user.maps.gid(process.gid).is_none() {
        return outside("process.user.gid", process.gid);
    }
    let groups = &process.additional_gids;
    match groups.iter().find(|gid| user.maps.gid(**gid).is_none()) {
        Some(gid) => outside("process.user.additionalGids", *gid),
        None => Ok(()),
    }
}

/// What `uidMappings`, `gidMappings` and the options `idmap` and `ridmap` ask for.
pub(crate) fn of_mount(
    field: &str,
    uids: Option<&[IdMapping]>,
    gids: Option<&[IdMapping]>,
    options: &mut Vec<&String>,
) -> Result<Option<IdMapped>, SpecError> {
    let mut asked = None;
    options.retain(|option| match option.as_str() {
        "idmap" => {
            asked = Some(false);
            false
        }
        "ridmap" => {
            asked = Some(true);
            false
        }
        _ => true,
    });
    let maps = maps(field, uids, gids)?;
    if maps.is_none() && asked.is_none() {
        return Ok(None);
    }
    // Mappings without an option are for this mount alone, as with runc (`libcontainer/specconv`).
    let recursive = asked.unwrap_or(false);
    Ok(Some(IdMapped { maps, recursive }))
}

/// The snapshotter's `uidmap=` and `gidmap=` (containerd `core/mount`, `parseIDMapping`), taken out of `options`.
pub(crate) fn of_snapshot(
    field: &str,
    options: &mut Vec<&String>,
) -> Result<Option<IdMapped>, SpecError> {
    let (mut uids, mut gids) = (Vec::new(), Vec::new());
    let mut failure = None;
    options.retain(|option| {
        let (list, target) = match option.split_once('=') {
            Some(("uidmap", list)) => (list, &mut uids),
            Some(("gidmap", list)) => (list, &mut gids),
            _ => return true,
        };
        match list.split(',').map(mapping).collect::<Option<Vec<_>>>() {
            Some(mappings) => target.extend(mappings),
            None => {
                let reason = format!("{option:?} is not of the form uidmap=INSIDE:OUTSIDE:COUNT");
                failure = Some(SpecError::invalid(format!("{field}.options"), reason));
            }
        }
        false
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    let maps = maps(field, Some(&uids), Some(&gids))?;
    Ok(maps.map(|maps| IdMapped {
        maps: Some(maps),
        recursive: false,
    }))
}

fn mapping(text: &str) -> Option<IdMapping> {
    let mut numbers = text.split(':').map(|number| number.parse().ok());
    let mapping = IdMapping {
        container_id: numbers.next()??,
        host_id: numbers.next()??,
        size: numbers.next()??,
    };
    numbers.next().is_none().then_some(mapping)
}

/// Both or neither.
fn maps(
    field: &str,
    uids: Option<&[IdMapping]>,
    gids: Option<&[IdMapping]>,
) -> Result<Option<IdMaps>, SpecError> {
    let maps = IdMaps {
        uids: translate(&format!("{field}.uidMappings"), uids)?,
        gids: translate(&format!("{field}.gidMappings"), gids)?,
    };
    match (maps.uids.is_empty(), maps.gids.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(maps)),
        (true, false) => Err(SpecError::invalid(
            format!("{field}.uidMappings"),
            "missing beside gidMappings",
        )),
        (false, true) => Err(SpecError::invalid(
            format!("{field}.gidMappings"),
            "missing beside uidMappings",
        )),
    }
}

fn translate(field: &str, mappings: Option<&[IdMapping]>) -> Result<Vec<IdMap>, SpecError> {
    let mappings = mappings.unwrap_or_default();
    if mappings.len() > MAX_MAPPINGS {
        return Err(SpecError::invalid(
            field,
            format!("{} entries, more than {MAX_MAPPINGS}", mappings.len()),
        ));
    }
    let mut translated = Vec::with_capacity(mappings.len());
    for (index, mapping) in mappings.iter().enumerate() {
        let size = mapping.size;
        let fits = |first: u32| first.checked_add(size).is_some();
        if size == 0 || !fits(mapping.container_id) || !fits(mapping.host_id) {
            return Err(SpecError::invalid(
                format!("{field}[{index}]"),
                format!("{size} ids are none, or more than there are"),
            ));
        }
        translated.push(IdMap {
            inside: mapping.container_id,
            outside: mapping.host_id,
            size,
        });
    }
    Ok(translated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Option<UserNamespace>, SpecError> {
        namespace(&serde_json::from_str(json).unwrap())
    }

    const MAPS: &str = r#""uidMappings":[{"containerID":0,"hostID":65536,"size":65536}],
        "gidMappings":[{"containerID":0,"hostID":65536,"size":65536}]"#;

    #[test]
    fn a_namespace_comes_with_its_maps() {
        assert_eq!(parse("{}").unwrap(), None);
        let user = parse(&format!(
            r#"{{"namespaces":[{{"type":"user","path":"/proc/7/ns/user"}}],{MAPS}}}"#
        ));
        let user = user.unwrap().unwrap();
        assert_eq!(user.path.as_deref(), Some("/proc/7/ns/user".as_ref()));
        assert_eq!(
            (user.maps.uid(0), user.maps.gid(65536)),
            (Some(65536), None)
        );
        let process = Process {
            additional_gids: vec![5, 70000],
            ..Process::default()
        };
        let message = check(&user, &process).unwrap_err().to_string();
        assert!(
            message.starts_with("process.user.additionalGids: 70000 is not mapped"),
            "{message}"
        );
    }

    #[test]
    fn half_of_it_is_refused_by_field() {
        for (json, expected) in [
            (format!("{{{MAPS}}}"), "linux.uidMappings: given without"),
            (
                r#"{"namespaces":[{"type":"user"}]}"#.to_owned(),
                "linux.uidMappings: missing",
            ),
            (
                r#"{"namespaces":[{"type":"user"}],
                    "uidMappings":[{"containerID":0,"hostID":1,"size":1}]}"#
                    .to_owned(),
                "linux.gidMappings: missing beside",
            ),
            (
                r#"{"namespaces":[{"type":"user"}],
                    "uidMappings":[{"containerID":0,"hostID":4294967295,"size":2}]}"#
                    .to_owned(),
                "linux.uidMappings[0]: 2 ids are none",
            ),
        ] {
            let message = parse(&json).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_snapshotters_options_are_taken_out() {
        let options =
            ["index=off", "uidmap=0:65536:10", "gidmap=0:65536:10,10:5:1"].map(str::to_owned);
        let mut rest: Vec<&String> = options.iter().collect();
        let mapped = of_snapshot("rootfs[0]", &mut rest).unwrap().unwrap();
        assert_eq!(rest, ["index=off"]);
        assert_eq!(mapped.maps.unwrap().gid(10), Some(5));
        let options = ["uidmap=0:x:1".to_owned()];
        let refused = of_snapshot("rootfs[0]", &mut options.iter().collect());
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .starts_with("rootfs[0].options: ")
        );
    }
}
