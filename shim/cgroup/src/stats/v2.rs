//! cgroup v2: one directory, microseconds.

use std::path::Path;

use crate::file::{self, FileError, pairs, read_number_or_zero};

/// Of `io.containerd.cgroups.v2.Metrics`, what a container of ours has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// `PidsStat`
    pub pids: Pids,
    /// `CPUStat`
    pub cpu: Cpu,
    /// `MemoryStat`
    pub memory: Memory,
    /// `MemoryEvents`
    pub memory_events: MemoryEvents,
}

/// `PidsStat`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pids {
    /// Processes and threads now.
    pub current: u64,
    /// Their limit; 0 for none.
    pub limit: u64,
}

/// `CPUStat`: `cpu.stat`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the names are the kernel's, explained in cgroup-v2.rst"
)]
pub struct Cpu {
    pub usage_usec: u64,
    pub user_usec: u64,
    pub system_usec: u64,
    pub nr_periods: u64,
    pub nr_throttled: u64,
    pub throttled_usec: u64,
    pub nr_bursts: u64,
    pub burst_usec: u64,
}

/// `MemoryEvents`: `memory.events`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the names are the kernel's, explained in cgroup-v2.rst"
)]
pub struct MemoryEvents {
    pub low: u64,
    pub high: u64,
    pub max: u64,
    pub oom: u64,
    pub oom_kill: u64,
    pub oom_group_kill: u64,
}

/// `MemoryStat`: `memory.stat`, then the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the names are the kernel's, explained in cgroup-v2.rst"
)]
pub struct Memory {
    pub anon: u64,
    pub file: u64,
    pub kernel_stack: u64,
    pub slab: u64,
    pub sock: u64,
    pub shmem: u64,
    pub file_mapped: u64,
    pub file_dirty: u64,
    pub file_writeback: u64,
    pub anon_thp: u64,
    pub inactive_anon: u64,
    pub active_anon: u64,
    pub inactive_file: u64,
    pub active_file: u64,
    pub unevictable: u64,
    pub slab_reclaimable: u64,
    pub slab_unreclaimable: u64,
    pub pgfault: u64,
    pub pgmajfault: u64,
    pub workingset_refault: u64,
    pub workingset_activate: u64,
    pub workingset_nodereclaim: u64,
    pub pgrefill: u64,
    pub pgscan: u64,
    pub pgsteal: u64,
    pub pgactivate: u64,
    pub pgdeactivate: u64,
    pub pglazyfree: u64,
    pub pglazyfreed: u64,
    pub thp_fault_alloc: u64,
    pub thp_collapse_alloc: u64,
    /// Bytes in use.
    pub usage: u64,
    /// Their limit; `u64::MAX` for none.
    pub usage_limit: u64,
    /// Bytes of swap in use.
    pub swap_usage: u64,
    /// Their limit; `u64::MAX` for none.
    pub swap_limit: u64,
    /// The most bytes ever in use.
    pub max_usage: u64,
    /// The most bytes of swap ever in use.
    pub swap_max_usage: u64,
}

/// Reads them all. The controllers a cgroup lacks stay 0.
pub(crate) fn read(dir: &Path) -> Result<Stats, FileError> {
    // In every cgroup but the root, so that its absence means the cgroup is gone.
    let cpu = cpu(&file::read(&dir.join("cpu.stat"))?);
    let text = |name: &str| match file::read(&dir.join(name)) {
        Err(error) if error.is_gone() => Ok(String::new()),
        other => other,
    };
    let number = |name: &str| read_number_or_zero(&dir.join(name));
    let limit = number("pids.max")?;
    Ok(Stats {
        pids: Pids {
            current: number("pids.current")?,
            limit: if limit == u64::MAX { 0 } else { limit },
        },
        cpu,
        memory: Memory {
            usage: number("memory.current")?,
            usage_limit: number("memory.max")?,
            swap_usage: number("memory.swap.current")?,
            swap_limit: number("memory.swap.max")?,
            max_usage: number("memory.peak")?,
            swap_max_usage: number("memory.swap.peak")?,
            ..memory(&text("memory.stat")?)
        },
        memory_events: events(&text("memory.events")?),
    })
}

fn cpu(text: &str) -> Cpu {
    let mut stats = Cpu::default();
    for (key, value) in pairs(text) {
        let field = match key {
            "usage_usec" => &mut stats.usage_usec,
            "user_usec" => &mut stats.user_usec,
            "system_usec" => &mut stats.system_usec,
            "nr_periods" => &mut stats.nr_periods,
            "nr_throttled" => &mut stats.nr_throttled,
            "throttled_usec" => &mut stats.throttled_usec,
            "nr_bursts" => &mut stats.nr_bursts,
            "burst_usec" => &mut stats.burst_usec,
            _ => continue,
        };
        *field = value;
    }
    stats
}

fn events(text: &str) -> MemoryEvents {
    let mut stats = MemoryEvents::default();
    for (key, value) in pairs(text) {
        let field = match key {
            "low" => &mut stats.low,
            "high" => &mut stats.high,
            "max" => &mut stats.max,
            "oom" => &mut stats.oom,
            "oom_kill" => &mut stats.oom_kill,
            "oom_group_kill" => &mut stats.oom_group_kill,
            _ => continue,
        };
        *field = value;
    }
    stats
}

/// Since 5.9 the kernel counts refaults of anonymous and of file pages apart; the message has one number.
fn memory(text: &str) -> Memory {
    let mut stats = Memory::default();
    for (key, value) in pairs(text) {
        let field = match key {
            "anon" => &mut stats.anon,
            "file" => &mut stats.file,
            "kernel_stack" => &mut stats.kernel_stack,
            "slab" => &mut stats.slab,
            "sock" => &mut stats.sock,
            "shmem" => &mut stats.shmem,
            "file_mapped" => &mut stats.file_mapped,
            "file_dirty" => &mut stats.file_dirty,
            "file_writeback" => &mut stats.file_writeback,
            "anon_thp" => &mut stats.anon_thp,
            "inactive_anon" => &mut stats.inactive_anon,
            "active_anon" => &mut stats.active_anon,
            "inactive_file" => &mut stats.inactive_file,
            "active_file" => &mut stats.active_file,
            "unevictable" => &mut stats.unevictable,
            "slab_reclaimable" => &mut stats.slab_reclaimable,
            "slab_unreclaimable" => &mut stats.slab_unreclaimable,
            "pgfault" => &mut stats.pgfault,
            "pgmajfault" => &mut stats.pgmajfault,
            "workingset_refault" | "workingset_refault_anon" | "workingset_refault_file" => {
                &mut stats.workingset_refault
            }
            "workingset_activate" | "workingset_activate_anon" | "workingset_activate_file" => {
                &mut stats.workingset_activate
            }
            "workingset_nodereclaim" => &mut stats.workingset_nodereclaim,
            "pgrefill" => &mut stats.pgrefill,
            "pgscan" => &mut stats.pgscan,
            "pgsteal" => &mut stats.pgsteal,
            "pgactivate" => &mut stats.pgactivate,
            "pgdeactivate" => &mut stats.pgdeactivate,
            "pglazyfree" => &mut stats.pglazyfree,
            "pglazyfreed" => &mut stats.pglazyfreed,
            "thp_fault_alloc" => &mut stats.thp_fault_alloc,
            "thp_collapse_alloc" => &mut stats.thp_collapse_alloc,
            _ => continue,
        };
        *field += value;
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_fields() {
        let dir = tempfile::tempdir().expect("temp dir");
        for (file, text) in [
            (
                "cpu.stat",
                "usage_usec 500\nuser_usec 300\nsystem_usec 200\nnr_periods 4\nnr_throttled 1\nthrottled_usec 9\n",
            ),
            (
                "memory.stat",
                "anon 1\nfile 2\ninactive_file 4096\nworkingset_refault_anon 3\nworkingset_refault_file 4\n",
            ),
            ("memory.current", "10000\n"),
            ("memory.max", "67108864\n"),
            ("memory.swap.max", "max\n"),
            ("memory.events", "low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\n"),
            ("pids.current", "4\n"),
            ("pids.max", "20\n"),
        ] {
            std::fs::write(dir.path().join(file), text).expect("write");
        }
        let stats = read(dir.path()).expect("read");
        assert_eq!(
            (
                stats.cpu.usage_usec,
                stats.cpu.user_usec,
                stats.cpu.system_usec
            ),
            (500, 300, 200)
        );
        assert_eq!(
            (stats.memory.usage, stats.memory.usage_limit),
            (10_000, 64 << 20)
        );
        assert_eq!(
            (stats.memory.swap_usage, stats.memory.swap_limit),
            (0, u64::MAX)
        );
        assert_eq!(stats.memory.workingset_refault, 7);
        assert_eq!(
            (stats.memory_events.max, stats.memory_events.oom_kill),
            (5, 1)
        );
        assert_eq!((stats.pids.current, stats.pids.limit), (4, 20));
        assert_eq!(
            crate::Stats::V2(Box::new(stats)).working_set(),
            10_000 - 4096
        );
    }

    #[test]
    fn a_gone_cgroup_is_an_error() {
        assert!(read(Path::new("/nowhere")).expect_err("gone").is_gone());
    }
}
