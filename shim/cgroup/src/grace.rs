//! The grace period that moving a process into a cgroup waits for.
//!
//! Processes are made and end on all processors without a lock until somebody moves one: who does waits until every
//! processor has noticed (`cgroup_threadgroup_rwsem` in `kernel/cgroup/cgroup.c`, a percpu rwsem, Linux 6.18), which
//! takes a grace period of RCU, 5 to 16 ms. For some 20 ms after that others are moved at once (docs/benchmarks.md).
//! So whoever knows that a process is about to be moved has the waiting done beforehand.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::file;
use crate::hierarchy::{Hierarchies, parse_own};

impl Hierarchies {
    /// Waits for it, by moving this process to where it is: nothing changes. Where that cannot be done the next process
    /// that is moved waits, as it would have anyway.
    pub fn wait_for_grace_period(&self) {
        if let Some(mut procs) = self.own_procs() {
            let _ = procs.write_all(b"0");
        }
    }

    /// The file by which this process is moved to the cgroup that it is in, of whichever hierarchy: they wait for the same.
    fn own_procs(&self) -> Option<File> {
        let own = file::read(Path::new("/proc/self/cgroup")).ok()?;
        let mut own = parse_own(&own).into_iter();
        own.find_map(|own| {
            let mut mounts = self.mounts.iter();
            let mount = mounts.find(|mount| mount.controllers == own.controllers)?;
            let path = own.path.strip_prefix('/')?;
            let inside = !path.split('/').any(|part| part == "..");
            let procs = mount.point.join(path).join("cgroup.procs");
            inside
                .then(|| File::options().write(true).open(procs).ok())
                .flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nothing_is_changed_by_it() {
        let hierarchies = Hierarchies::detect().unwrap();
        assert!(hierarchies.own_procs().is_some());
        let before = fs::read_to_string("/proc/self/cgroup").unwrap();
        hierarchies.wait_for_grace_period();
        assert_eq!(fs::read_to_string("/proc/self/cgroup").unwrap(), before);
    }
}
