//! `mounts` and containerd's rootfs mounts: option strings to what mount(2) and mount_setattr(2) take.

mod options;

use std::path::{Path, PathBuf};

use libc::{MS_BIND, MS_REC, MS_REMOUNT};
use slipway_shim_oci as oci;
use slipway_shim_wire::Mount;

use crate::SpecError;
use crate::error::without_nul;
use crate::user;

use options::{Effect, effect, options};

/// The most mounts one container may have: far above any pod, far below the kernel's
/// `fs.mount-max` of 100000 for a namespace.
const MAX_MOUNTS: usize = 4096;

/// One of the mounts that containerd passes in `CreateTaskRequest.rootfs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootfsMount {
    /// `type`
    pub fstype: String,
    /// `source`
    pub source: String,
    /// `target`, below the rootfs; usually empty.
    pub target: String,
    /// `options`
    pub options: Vec<String>,
}

/// `mounts`, in order. A relative bind source is relative to the bundle.
pub(crate) fn of_spec(bundle: &Path, mounts: &[oci::Mount]) -> Result<Vec<Mount>, SpecError> {
    if mounts.len() > MAX_MOUNTS {
        return Err(SpecError::invalid(
            "mounts",
            format!("{} entries, more than {MAX_MOUNTS}", mounts.len()),
        ));
    }
    let mut translated = Vec::with_capacity(mounts.len());
    for (index, mount) in mounts.iter().enumerate() {
        let field = format!("mounts[{index}]");
        let target = utf8(&field, "destination", &mount.destination)?;
        let fstype = mount.typ.as_deref().unwrap_or_default();
        let source = match &mount.source {
            Some(source) => utf8(&field, "source", source)?,
            None => "",
        };
        let mut given: Vec<&String> = mount.options.iter().flatten().collect();
        let id_map = user::of_mount(
            &field,
            mount.uid_mappings.as_deref(),
            mount.gid_mappings.as_deref(),
            &mut given,
        )?;
        let mut mount = complete(&field, options(&field, given)?, fstype, source)?;
        if id_map.is_some() && mount.flags & MS_BIND == 0 {
            return Err(SpecError::unsupported(
                format!("{field}.uidMappings"),
                "ID-mapping a mount that is no bind mount",
            ));
        }
        mount.id_map = id_map;
        if mount.flags & MS_BIND != 0 && !mount.source.starts_with('/') {
            mount.source = utf8(&field, "source", &bundle.join(&mount.source))?.to_owned();
        }
        // The 1.2 specification wants absolute destinations; runc takes relative ones from the root, and so
        // does everybody else.
        mount.target = Path::new("/").join(target);
        translated.push(mount);
    }
    Ok(translated)
}

/// The snapshotter's mounts.
pub(crate) fn of_rootfs(mounts: &[RootfsMount]) -> Result<Vec<Mount>, SpecError> {
    let mut translated = Vec::with_capacity(mounts.len());
    for (index, mount) in mounts.iter().enumerate() {
        let field = format!("rootfs[{index}]");
        if mount.fstype.contains('/') {
            // containerd 2.2's mount manager resolves "format/...", "mkfs/..." before a shim that does not
            // announce them sees them.
            return Err(SpecError::unsupported(
                format!("{field}.type"),
                format!("the mount type {:?}", mount.fstype),
            ));
        }
        without_nul(|| format!("{field}.target"), &mount.target)?;
        let mut given: Vec<&String> = mount.options.iter().collect();
        let id_map = user::of_snapshot(&field, &mut given)?;
        let options = options(&field, given)?;
        let mut complete = complete(&field, options, &mount.fstype, &mount.source)?;
        complete.id_map = id_map;
        complete.target = PathBuf::from(mount.target.trim_start_matches('/'));
        translated.push(complete);
    }
    Ok(translated)
}

/// Puts type and source to the options.
fn complete(field: &str, mut mount: Mount, fstype: &str, source: &str) -> Result<Mount, SpecError> {
    without_nul(|| format!("{field}.type"), fstype)?;
    without_nul(|| format!("{field}.source"), source)?;
    match fstype {
        "bind" => mount.flags |= MS_BIND,
        "rbind" => mount.flags |= MS_BIND | MS_REC,
        _ => {}
    }
    if mount.flags & MS_REMOUNT != 0 {
        return Err(SpecError::unsupported(
            format!("{field}.options"),
            "the mount option \"remount\"",
        ));
    }
    if mount.flags & MS_BIND != 0 {
        if source.is_empty() {
            return Err(SpecError::invalid(
                format!("{field}.source"),
                "empty, but the mount is a bind mount",
            ));
        }
        if !mount.data.is_empty() {
            return Err(SpecError::invalid(
                format!("{field}.options"),
                format!("{:?} cannot be given to a bind mount", mount.data),
            ));
        }
    } else if fstype.is_empty() {
        return Err(SpecError::invalid(
            format!("{field}.type"),
            "empty, and the mount is no bind mount",
        ));
    } else {
        fstype.clone_into(&mut mount.fstype);
    }
    source.clone_into(&mut mount.source);
    Ok(mount)
}

fn utf8<'a>(field: &str, name: &str, path: &'a Path) -> Result<&'a str, SpecError> {
    let text = path.to_str().ok_or_else(|| {
        SpecError::invalid(format!("{field}.{name}"), format!("{path:?} is not UTF-8"))
    })?;
    without_nul(|| format!("{field}.{name}"), text)?;
    Ok(text)
}

/// `linux.rootfsPropagation`.
pub(crate) fn propagation(text: Option<&str>) -> Result<u64, SpecError> {
    match text {
        None | Some("") => Ok(0),
        Some(text) => match effect(text) {
            Effect::Propagation(flags) => Ok(flags),
            _ => Err(SpecError::invalid(
                "linux.rootfsPropagation",
                format!(
                    "{text:?} is none of shared, slave, private, unbindable, with or without r"
                ),
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use libc::{
        MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_RDONLY, MS_NOSUID, MS_PRIVATE, MS_RDONLY,
        MS_SLAVE, MS_STRICTATIME,
    };
    use slipway_shim_wire::RecursiveAttributes;

    use super::*;

    fn parse(json: &str) -> Result<Vec<Mount>, SpecError> {
        let mounts: Vec<oci::Mount> = serde_json::from_str(json).unwrap();
        of_spec(Path::new("/bundle"), &mounts)
    }

    #[test]
    fn a_read_only_volume_as_containerd_writes_it() {
        let mounts = parse(
            r#"[{"destination":"/data","type":"bind","source":"/var/lib/x",
                 "options":["rbind","rprivate","ro"]}]"#,
        )
        .unwrap();
        assert_eq!(
            mounts,
            [Mount {
                source: "/var/lib/x".into(),
                target: "/data".into(),
                flags: MS_BIND | MS_REC | MS_RDONLY,
                propagation: MS_PRIVATE | MS_REC,
                ..Mount::default()
            }]
        );
    }

    #[test]
    fn file_system_options_stay_text_in_order() {
        let mounts = parse(
            r#"[{"destination":"dev","type":"tmpfs","source":"tmpfs",
                 "options":["nosuid","strictatime","mode=755","size=65536k"]}]"#,
        )
        .unwrap();
        assert_eq!(mounts[0].data, "mode=755,size=65536k");
        assert_eq!(mounts[0].fstype, "tmpfs");
        assert_eq!(mounts[0].target, Path::new("/dev"));
        assert_eq!(mounts[0].flags, MS_NOSUID | MS_STRICTATIME);
    }

    #[test]
    fn the_last_of_two_contrary_options_holds() {
        let mounts =
            parse(r#"[{"destination":"/a","type":"tmpfs","options":["ro","rw","suid","nosuid"]}]"#)
                .unwrap();
        assert_eq!((mounts[0].flags, mounts[0].clear), (MS_NOSUID, MS_RDONLY));
    }

    #[test]
    fn recursive_attributes_are_kept_apart() {
        let mounts = parse(
            r#"[{"destination":"/a","type":"bind","source":"rel","options":["rbind","rro","rnoatime"]}]"#,
        )
        .unwrap();
        assert_eq!(mounts[0].source, "/bundle/rel");
        assert_eq!(mounts[0].flags, MS_BIND | MS_REC);
        assert_eq!(
            mounts[0].recursive,
            RecursiveAttributes {
                set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME,
                clear: MOUNT_ATTR__ATIME,
            }
        );
    }

    #[test]
    fn what_is_not_honoured_is_refused_by_field() {
        let cases = [
            (
                r#"[{"destination":"/a","type":"bind","source":"/b","options":["bind","tmpcopyup"]}]"#,
                "mounts[0].options[1]: the mount option \"tmpcopyup\" is not supported",
            ),
            (
                r#"[{"destination":"/a","type":"bind","source":"/b","options":["bind","size=1k"]}]"#,
                "mounts[0].options: \"size=1k\" cannot be given to a bind mount",
            ),
            (
                r#"[{"destination":"/a","source":"/b"}]"#,
                "mounts[0].type: empty",
            ),
            (
                r#"[{"destination":"/a","options":["bind"]}]"#,
                "mounts[0].source: empty",
            ),
            (
                r#"[{"destination":"/a\u0000","type":"tmpfs"}]"#,
                "mounts[0].destination: contains a NUL",
            ),
            (
                r#"[{"destination":"/a","type":"bind","source":"/b","uidMappings":[{"hostID":1,"containerID":0,"size":1}]}]"#,
                "mounts[0].gidMappings: missing beside uidMappings",
            ),
            (
                r#"[{"destination":"/a","type":"tmpfs","options":["idmap"]}]"#,
                "mounts[0].uidMappings: ID-mapping a mount that is no bind mount is not supported",
            ),
        ];
        for (json, expected) in cases {
            let message = parse(json).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_volume_of_a_pod_with_a_user_namespace() {
        let mounts = parse(
            r#"[{"destination":"/a","type":"bind","source":"/b","options":["rbind","ridmap"],
                 "uidMappings":[{"containerID":0,"hostID":65536,"size":9}],
                 "gidMappings":[{"containerID":0,"hostID":65536,"size":9}]},
                {"destination":"/c","type":"bind","source":"/b","options":["bind","idmap"]}]"#,
        )
        .unwrap();
        let mapped = mounts[0].id_map.clone().unwrap();
        assert!(mapped.recursive);
        assert_eq!(mapped.maps.unwrap().uid(8), Some(65544));
        let own = mounts[1].id_map.clone().unwrap();
        assert!(own.maps.is_none() && !own.recursive);
    }

    #[test]
    fn an_overlay_of_the_snapshotter() {
        let mounts = of_rootfs(&[RootfsMount {
            fstype: "overlay".into(),
            source: "overlay".into(),
            target: String::new(),
            options: ["index=off", "workdir=/w", "upperdir=/u", "lowerdir=/l2:/l1"]
                .map(String::from)
                .into(),
        }])
        .unwrap();
        assert_eq!(
            mounts[0].data,
            "index=off,workdir=/w,upperdir=/u,lowerdir=/l2:/l1"
        );
        assert_eq!(mounts[0].target, Path::new(""));
        let refused = of_rootfs(&[RootfsMount {
            fstype: "mkfs/ext4".into(),
            ..RootfsMount::default()
        }]);
        assert!(refused.unwrap_err().to_string().contains("rootfs[0].type"));
    }

    #[test]
    fn root_propagation_is_one_of_eight_words() {
        assert_eq!(propagation(None).unwrap(), 0);
        assert_eq!(propagation(Some("rslave")).unwrap(), MS_SLAVE | MS_REC);
        assert!(propagation(Some("ro")).is_err());
    }
}
