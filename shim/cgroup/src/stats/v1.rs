//! cgroup v1: one directory a controller, nanoseconds.

use std::path::Path;

use crate::file::{self, FileError, pairs, read as read_text, read_number_or_zero};

/// Of `io.containerd.cgroups.v1.Metrics`, what a container of ours has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// `PidsStat`
    pub pids: Pids,
    /// `CPUStat`
    pub cpu: Cpu,
    /// `MemoryStat`
    pub memory: Memory,
    /// `MemoryOomControl`
    pub memory_oom_control: OomControl,
}

/// `PidsStat`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pids {
    /// Processes and threads now.
    pub current: u64,
    /// Their limit; 0 for none.
    pub limit: u64,
}

/// `CPUStat`: nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Used in all.
    pub total: u64,
    /// Used in the kernel.
    pub kernel: u64,
    /// Used outside of it.
    pub user: u64,
    /// Used on each CPU.
    pub per_cpu: Vec<u64>,
    /// Periods with a quota in force.
    pub periods: u64,
    /// Those of them in which it ran out.
    pub throttled_periods: u64,
    /// Time spent waiting for the next period.
    pub throttled_time: u64,
}

/// `MemoryEntry`: bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entry {
    /// The limit.
    pub limit: u64,
    /// In use.
    pub usage: u64,
    /// The most ever in use.
    pub max: u64,
    /// Times the limit was hit.
    pub failcnt: u64,
}

/// `MemoryOomControl`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OomControl {
    /// 1 if processes are stopped instead of killed.
    pub oom_kill_disable: u64,
    /// 1 while they are stopped.
    pub under_oom: u64,
    /// Processes killed.
    pub oom_kill: u64,
}

/// `MemoryStat`: `memory.stat` by the names of the message, then the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the names are the kernel's, explained in cgroup-v1/memory.rst section 5.2"
)]
pub struct Memory {
    pub cache: u64,
    pub rss: u64,
    pub rss_huge: u64,
    pub mapped_file: u64,
    pub dirty: u64,
    pub writeback: u64,
    pub pg_pg_in: u64,
    pub pg_pg_out: u64,
    pub pg_fault: u64,
    pub pg_maj_fault: u64,
    pub inactive_anon: u64,
    pub active_anon: u64,
    pub inactive_file: u64,
    pub active_file: u64,
    pub unevictable: u64,
    pub hierarchical_memory_limit: u64,
    pub hierarchical_swap_limit: u64,
    pub total_cache: u64,
    pub total_rss: u64,
    pub total_rss_huge: u64,
    pub total_mapped_file: u64,
    pub total_dirty: u64,
    pub total_writeback: u64,
    pub total_pg_pg_in: u64,
    pub total_pg_pg_out: u64,
    pub total_pg_fault: u64,
    pub total_pg_maj_fault: u64,
    pub total_inactive_anon: u64,
    pub total_active_anon: u64,
    pub total_inactive_file: u64,
    pub total_active_file: u64,
    pub total_unevictable: u64,
    /// Memory.
    pub usage: Entry,
    /// Memory and swap.
    pub swap: Entry,
    /// The kernel's own.
    pub kernel: Entry,
    /// Of it, TCP buffers.
    pub kernel_tcp: Entry,
}

/// `cpuacct.stat` counts in ticks of USER_HZ, which is 100 on every architecture of ours (asm-generic/param.h).
const NANOS_PER_TICK: u64 = 10_000_000;

/// Reads them all. The controllers a host lacks stay 0.
pub(crate) fn read<'a>(dir_of: impl Fn(&str) -> Option<&'a Path>) -> Result<Stats, FileError> {
    let mut stats = Stats::default();
    if let Some(dir) = dir_of("cpuacct") {
        stats.cpu.total = file::read_number(&dir.join("cpuacct.usage"))?;
        let ticks = file::read(&dir.join("cpuacct.stat"))?;
        stats.cpu.user = file::value_of(&ticks, "user").saturating_mul(NANOS_PER_TICK);
        stats.cpu.kernel = file::value_of(&ticks, "system").saturating_mul(NANOS_PER_TICK);
        let per_cpu = file::read(&dir.join("cpuacct.usage_percpu"))?;
        stats.cpu.per_cpu = per_cpu
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
    }
    if let Some(dir) = dir_of("cpu") {
        for (key, value) in pairs(&text_or_empty(&dir.join("cpu.stat"))?) {
            match key {
                "nr_periods" => stats.cpu.periods = value,
                "nr_throttled" => stats.cpu.throttled_periods = value,
                "throttled_time" => stats.cpu.throttled_time = value,
                _ => {}
            }
        }
    }
    if let Some(dir) = dir_of("memory") {
        stats.memory = memory(&file::read(&dir.join("memory.stat"))?);
        stats.memory.usage = entry(dir, "memory")?;
        stats.memory.swap = entry(dir, "memory.memsw")?;
        stats.memory.kernel = entry(dir, "memory.kmem")?;
        stats.memory.kernel_tcp = entry(dir, "memory.kmem.tcp")?;
        for (key, value) in pairs(&text_or_empty(&dir.join("memory.oom_control"))?) {
            match key {
                "oom_kill_disable" => stats.memory_oom_control.oom_kill_disable = value,
                "under_oom" => stats.memory_oom_control.under_oom = value,
                "oom_kill" => stats.memory_oom_control.oom_kill = value,
                _ => {}
            }
        }
    }
    if let Some(dir) = dir_of("pids") {
        stats.pids.current = read_number_or_zero(&dir.join("pids.current"))?;
        let limit = read_number_or_zero(&dir.join("pids.max"))?;
        stats.pids.limit = if limit == u64::MAX { 0 } else { limit };
    }
    Ok(stats)
}

fn text_or_empty(path: &Path) -> Result<String, FileError> {
    match read_text(path) {
        Err(error) if error.is_gone() => Ok(String::new()),
        other => other,
    }
}

fn entry(dir: &Path, module: &str) -> Result<Entry, FileError> {
    let number = |name: &str| read_number_or_zero(&dir.join(format!("{module}.{name}")));
    Ok(Entry {
        limit: number("limit_in_bytes")?,
        usage: number("usage_in_bytes")?,
        max: number("max_usage_in_bytes")?,
        failcnt: number("failcnt")?,
    })
}

fn memory(text: &str) -> Memory {
    let mut memory = Memory::default();
    for (key, value) in pairs(text) {
        let field = match key {
            "cache" => &mut memory.cache,
            "rss" => &mut memory.rss,
            "rss_huge" => &mut memory.rss_huge,
            "mapped_file" => &mut memory.mapped_file,
            "dirty" => &mut memory.dirty,
            "writeback" => &mut memory.writeback,
            "pgpgin" => &mut memory.pg_pg_in,
            "pgpgout" => &mut memory.pg_pg_out,
            "pgfault" => &mut memory.pg_fault,
            "pgmajfault" => &mut memory.pg_maj_fault,
            "inactive_anon" => &mut memory.inactive_anon,
            "active_anon" => &mut memory.active_anon,
            "inactive_file" => &mut memory.inactive_file,
            "active_file" => &mut memory.active_file,
            "unevictable" => &mut memory.unevictable,
            "hierarchical_memory_limit" => &mut memory.hierarchical_memory_limit,
            "hierarchical_memsw_limit" => &mut memory.hierarchical_swap_limit,
            "total_cache" => &mut memory.total_cache,
            "total_rss" => &mut memory.total_rss,
            "total_rss_huge" => &mut memory.total_rss_huge,
            "total_mapped_file" => &mut memory.total_mapped_file,
            "total_dirty" => &mut memory.total_dirty,
            "total_writeback" => &mut memory.total_writeback,
            "total_pgpgin" => &mut memory.total_pg_pg_in,
            "total_pgpgout" => &mut memory.total_pg_pg_out,
            "total_pgfault" => &mut memory.total_pg_fault,
            "total_pgmajfault" => &mut memory.total_pg_maj_fault,
            "total_inactive_anon" => &mut memory.total_inactive_anon,
            "total_active_anon" => &mut memory.total_active_anon,
            "total_inactive_file" => &mut memory.total_inactive_file,
            "total_active_file" => &mut memory.total_active_file,
            "total_unevictable" => &mut memory.total_unevictable,
            _ => continue,
        };
        *field = value;
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_fields() {
        let dir = tempfile::tempdir().expect("temp dir");
        for (file, text) in [
            ("cpuacct.usage", "123456789\n"),
            ("cpuacct.stat", "user 7\nsystem 5\n"),
            ("cpuacct.usage_percpu", "100 23 \n"),
            (
                "cpu.stat",
                "nr_periods 10\nnr_throttled 3\nthrottled_time 999\n",
            ),
            (
                "memory.stat",
                "cache 1\nrss 2\ntotal_inactive_file 4096\ntotal_pgmajfault 3\nhierarchical_memsw_limit 9\n",
            ),
            ("memory.usage_in_bytes", "10000\n"),
            ("memory.limit_in_bytes", "67108864\n"),
            ("memory.max_usage_in_bytes", "20000\n"),
            ("memory.failcnt", "1\n"),
            (
                "memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            ),
            ("pids.current", "4\n"),
            ("pids.max", "max\n"),
        ] {
            std::fs::write(dir.path().join(file), text).expect("write");
        }
        let stats = read(|_| Some(dir.path())).expect("read");
        assert_eq!(
            (stats.cpu.total, stats.cpu.user, stats.cpu.kernel),
            (123_456_789, 70_000_000, 50_000_000)
        );
        assert_eq!(stats.cpu.per_cpu, [100, 23]);
        assert_eq!(
            (
                stats.cpu.periods,
                stats.cpu.throttled_periods,
                stats.cpu.throttled_time
            ),
            (10, 3, 999)
        );
        assert_eq!(
            stats.memory.usage,
            Entry {
                limit: 64 << 20,
                usage: 10_000,
                max: 20_000,
                failcnt: 1
            }
        );
        assert_eq!(stats.memory.swap, Entry::default(), "no swap accounting");
        assert_eq!(
            (
                stats.memory.total_pg_maj_fault,
                stats.memory.hierarchical_swap_limit
            ),
            (3, 9)
        );
        assert_eq!(stats.memory_oom_control.oom_kill, 2);
        assert_eq!((stats.pids.current, stats.pids.limit), (4, 0));
        assert_eq!(
            crate::Stats::V1(Box::new(stats)).working_set(),
            10_000 - 4096
        );
    }

    #[test]
    fn a_host_without_controllers_has_zeros_and_a_gone_cgroup_an_error() {
        assert_eq!(read(|_| None).expect("zeros"), Stats::default());
        assert!(
            read(|_| Some(Path::new("/nowhere")))
                .expect_err("gone")
                .is_gone()
        );
    }
}
