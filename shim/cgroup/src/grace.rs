//! The grace period that moving a process into a cgroup waits for.
//!
//! Processes are made and end on all processors without a lock until somebody moves one: who does waits until every
//! processor has noticed (`cgroup_threadgroup_rwsem` in `kernel/cgroup/cgroup.c`, a percpu rwsem, Linux 6.18), which
//! takes a grace period of RCU, 5 to 16 ms. For some 20 ms after that others are moved at once (docs/benchmarks.md).
//! So whoever knows that a process is about to be moved has the waiting done beforehand.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Hierarchies by their names in `/proc/self/cgroup` (cgroups(7)), and where they are mounted: systemd's own of v1, the
/// one of v2 beside v1 or alone, and one that a host of v1 without systemd has.
const HIERARCHIES: [(&str, &str); 4] = [
    ("name=systemd", "/sys/fs/cgroup/systemd"),
    ("", "/sys/fs/cgroup/unified"),
    ("", "/sys/fs/cgroup"),
    ("pids", "/sys/fs/cgroup/pids"),
];

/// Waits for it, by moving this process to where it is: nothing changes. Where that cannot be done the next process that is
/// moved waits, as it would have anyway.
pub fn wait_for_grace_period() {
    if let Some(mut procs) = own_procs() {
        let _ = procs.write_all(b"0");
    }
}

/// The file by which this process is moved to the cgroup that it is in.
fn own_procs() -> Option<File> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    HIERARCHIES.iter().find_map(|(name, mount)| {
        let path = path_in(&own, name)?.trim_start_matches('/');
        let procs = Path::new(mount).join(path).join("cgroup.procs");
        File::options().write(true).open(procs).ok()
    })
}

/// Where a process is in a hierarchy, from the text of its `/proc/<pid>/cgroup`.
fn path_in<'a>(own: &'a str, name: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        (controllers == name && !path.contains("..")).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_by_the_hierarchys_name() {
        let own = "9:cpu,cpuacct:/a\n2:name=systemd:/a:b\n1:pids:/../x\n0::/c\n";
        assert_eq!(path_in(own, "name=systemd"), Some("/a:b"));
        assert_eq!(path_in(own, ""), Some("/c"));
        assert_eq!(
            path_in(own, "pids"),
            None,
            "outside of what is mounted here"
        );
        assert_eq!(path_in(own, "cpu"), None);
    }

    #[test]
    fn nothing_is_changed_by_it() {
        assert!(own_procs().is_some());
        let before = fs::read_to_string("/proc/self/cgroup").unwrap();
        wait_for_grace_period();
        assert_eq!(fs::read_to_string("/proc/self/cgroup").unwrap(), before);
    }
}
