//! `linux.devices` and the devices every container has.

use std::path::{Path, PathBuf};

use slipway_shim_oci::{Device, DeviceType};
use slipway_shim_wire::DeviceNode;

use crate::SpecError;

/// "Default Devices", OCI runtime specification, `config-linux.md`. `/dev/console` comes with a terminal only,
/// and `/dev/ptmx` is a link into the container's own devpts.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// The most device nodes one container may have.
const MAX_DEVICES: usize = 4096;

/// The default devices, each replaced by the spec's of the same path, then the spec's others.
pub(crate) fn translate(devices: &[Device]) -> Result<Vec<DeviceNode>, SpecError> {
    if devices.len() > MAX_DEVICES {
        return Err(SpecError::invalid(
            "linux.devices",
            format!("{} entries, more than {MAX_DEVICES}", devices.len()),
        ));
    }
    let mut nodes: Vec<DeviceNode> = DEFAULT
        .iter()
        .map(|(path, major, minor)| DeviceNode {
            path: PathBuf::from(path),
            kind: libc::S_IFCHR,
            major: *major,
            minor: *minor,
            mode: 0o666,
            uid: 0,
            gid: 0,
        })
        .collect();
    for (index, device) in devices.iter().enumerate() {
        let node = translate_one(index, device)?;
        match nodes.iter_mut().find(|other| other.path == node.path) {
            Some(other) => *other = node,
            None => nodes.push(node),
        }
    }
    Ok(nodes)
}

fn translate_one(index: usize, device: &Device) -> Result<DeviceNode, SpecError> {
    let field = |name: &str| format!("linux.devices[{index}].{name}");
    let path = &device.path;
    if !path.is_absolute()
        || path == Path::new("/")
        || path.as_os_str().as_encoded_bytes().contains(&0)
    {
        return Err(SpecError::invalid(
            field("path"),
            format!("{path:?} is not an absolute path of a file"),
        ));
    }
    let kind = match device.typ {
        DeviceType::C | DeviceType::U => libc::S_IFCHR,
        DeviceType::B => libc::S_IFBLK,
        DeviceType::P => libc::S_IFIFO,
        DeviceType::A => {
            return Err(SpecError::invalid(
                field("type"),
                "\"a\" is for cgroup rules; a device is one of c, u, b, p",
            ));
        }
    };
    let number = |name: &str, value: i64| {
        u32::try_from(value)
            .map_err(|_| SpecError::invalid(field(name), format!("{value} is not a device number")))
    };
    let (major, minor) = if kind == libc::S_IFIFO {
        (0, 0)
    } else {
        (
            number("major", device.major)?,
            number("minor", device.minor)?,
        )
    };
    Ok(DeviceNode {
        path: path.clone(),
        kind,
        major,
        minor,
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Vec<DeviceNode>, SpecError> {
        translate(&serde_json::from_str::<Vec<Device>>(json).unwrap())
    }

    #[test]
    fn the_specs_device_replaces_the_default_of_the_same_path() {
        let nodes = parse(
            r#"[{"path":"/dev/null","type":"c","major":1,"minor":3,"fileMode":384,"uid":7},
                {"path":"/dev/fuse","type":"c","major":10,"minor":229}]"#,
        )
        .unwrap();
        assert_eq!(nodes.len(), 7);
        assert_eq!((nodes[0].mode, nodes[0].uid), (0o600, 7));
        assert_eq!(
            (nodes[6].major, nodes[6].minor, nodes[6].mode),
            (10, 229, 0o666)
        );
    }

    #[test]
    fn nonsense_is_refused_by_field() {
        for (json, expected) in [
            (
                r#"[{"path":"fuse","type":"c","major":1,"minor":1}]"#,
                "linux.devices[0].path",
            ),
            (
                r#"[{"path":"/dev/x","type":"c","major":-1,"minor":1}]"#,
                "linux.devices[0].major",
            ),
            (
                r#"[{"path":"/dev/x","type":"a","major":1,"minor":1}]"#,
                "linux.devices[0].type",
            ),
        ] {
            let message = parse(json).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
