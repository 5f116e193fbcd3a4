//! Making and joining the directories of cgroup v1.

use std::path::Path;

use rustix::io::Errno;

use super::{Dir, Error};
use crate::file::{self, FileError};
use crate::resources::{DeviceKind, DeviceRule, Resources};

/// systemd's own hierarchy, which has no controller.
pub(super) const NAMED_SYSTEMD: &str = "name=systemd";

/// The controllers systemd makes cgroups for and moves processes in (cgroup-util.h@v257, CGROUP_MASK_V1).
const SYSTEMDS: [&str; 7] = [
    "cpu",
    "cpuacct",
    "blkio",
    "memory",
    "devices",
    "pids",
    NAMED_SYSTEMD,
];

/// Whether systemd makes this directory of a scope. The hybrid v2 hierarchy has no controllers, and is systemd's.
pub(super) fn is_systemds(dir: &Dir) -> bool {
    dir.controllers.is_empty()
        || dir
            .controllers
            .iter()
            .any(|name| SYSTEMDS.contains(&name.as_str()))
}

/// Makes the directories that are not there.
pub(super) fn make<'a>(
    dirs: impl Iterator<Item = &'a Dir>,
    resources: &Resources,
) -> Result<(), Error> {
    for dir in dirs {
        if dir.has("cpuset") {
            make_cpuset(dir, resources)?;
        } else {
            file::make_dirs(&dir.path)?;
        }
    }
    Ok(())
}

/// Makes the directories and moves the process in.
pub(super) fn join<'a>(
    dirs: impl Iterator<Item = &'a Dir> + Clone,
    pid: u32,
    resources: &Resources,
) -> Result<(), Error> {
    make(dirs.clone(), resources)?;
    for dir in dirs {
        file::write(&dir.path.join("cgroup.procs"), &pid.to_string())?;
    }
    Ok(())
}

/// A new cpuset is empty and takes no process until it has CPUs and memory nodes (cgroup-v1/cpusets.rst), so each one
/// on the way down gets its parent's, unless the limits say otherwise for the last.
fn make_cpuset(dir: &Dir, resources: &Resources) -> Result<(), FileError> {
    let below = dir.path.strip_prefix(&dir.mount).unwrap_or(&dir.path);
    let mut parent = dir.mount.clone();
    for name in below {
        let child = parent.join(name);
        file::make_dir(&child)?;
        let last = child == dir.path;
        for (file, wanted) in [
            ("cpuset.cpus", &resources.cpuset_cpus),
            ("cpuset.mems", &resources.cpuset_mems),
        ] {
            match wanted {
                Some(wanted) if last => file::write(&child.join(file), wanted)?,
                _ => inherit(&parent, &child, file)?,
            }
        }
        parent = child;
    }
    Ok(())
}

fn inherit(parent: &Path, child: &Path, file: &str) -> Result<(), FileError> {
    let own = child.join(file);
    if file::read(&own)?.trim().is_empty() {
        file::write(&own, file::read(&parent.join(file))?.trim())?;
    }
    Ok(())
}

/// Writes the device rules. One that allows more than the parent does is refused by the kernel and left out: it can
/// only mean less access, and a kind node allows less than a spec asks for.
pub(super) fn restrict_devices(dir: Option<&Path>, rules: &[DeviceRule]) -> Result<(), FileError> {
    let Some(dir) = dir else { return Ok(()) };
    // A new cgroup has its parent's rules, so "allow all" in front adds nothing.
    for rule in rules
        .iter()
        .skip_while(|rule| rule.is_for_all() && rule.allow)
    {
        let file = if rule.allow {
            "devices.allow"
        } else {
            "devices.deny"
        };
        match file::write(&dir.join(file), &line(rule)) {
            Err(error) if rule.allow && error.errno() == Some(Errno::PERM) => {}
            other => other?,
        }
    }
    Ok(())
}

/// A rule as the kernel reads it (cgroup-v1/devices.rst).
fn line(rule: &DeviceRule) -> String {
    let kind = match rule.kind {
        DeviceKind::All => 'a',
        DeviceKind::Block => 'b',
        DeviceKind::Char => 'c',
    };
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    format!(
        "{kind} {}:{} {}",
        number(rule.major),
        number(rule.minor),
        rule.access
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn dir(root: &Path, controllers: &[&str], below: &str) -> Dir {
        Dir {
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            mount: root.to_owned(),
            path: root.join(below),
        }
    }

    #[test]
    fn systemd_is_left_what_is_its_own() {
        let root = Path::new("/x");
        for (controllers, theirs) in [
            (&["cpu", "cpuacct"][..], true),
            (&[NAMED_SYSTEMD], true),
            (&[], true),
            (&["cpuset"], false),
            (&["freezer"], false),
        ] {
            assert_eq!(
                is_systemds(&dir(root, controllers, "a")),
                theirs,
                "{controllers:?}"
            );
        }
    }

    #[test]
    fn cpusets_are_filled_on_the_way_down() {
        let root = tempfile::tempdir().expect("temp dir");
        // The kernel makes the two files with each directory; here they are there before.
        for (at, cpus, mems) in [("", "0-7\n", "0\n"), ("a", "\n", "\n"), ("a/b", "\n", "\n")] {
            fs::create_dir_all(root.path().join(at)).expect("mkdir");
            fs::write(root.path().join(at).join("cpuset.cpus"), cpus).expect("write");
            fs::write(root.path().join(at).join("cpuset.mems"), mems).expect("write");
        }
        let resources = Resources {
            cpuset_cpus: Some("2".into()),
            ..Resources::default()
        };
        make_cpuset(&dir(root.path(), &["cpuset"], "a/b"), &resources).expect("made");
        let read = |file: &str| fs::read_to_string(root.path().join(file)).expect("read");
        assert_eq!(
            (read("a/cpuset.cpus"), read("a/cpuset.mems")),
            ("0-7".to_owned(), "0".to_owned())
        );
        assert!(read("a/b/cpuset.cpus").starts_with('2'));
        assert_eq!(read("a/b/cpuset.mems"), "0");
    }

    #[test]
    fn device_rules_are_written_as_the_kernel_reads_them() {
        let rule = DeviceRule {
            allow: true,
            kind: DeviceKind::Char,
            major: Some(1),
            minor: None,
            access: "rw".into(),
        };
        assert_eq!(line(&rule), "c 1:* rw");
        assert_eq!(
            line(&DeviceRule {
                kind: DeviceKind::All,
                major: None,
                ..rule
            }),
            "a *:* rw"
        );
    }
}
