//! `io.containerd.cgroups.v1`: nanoseconds and bytes.

#![allow(
    missing_docs,
    reason = "the fields are the kernel's, explained in cgroup-v1/memory.rst"
)]

use slipway_shim_cgroup::stats::v1 as counted;

/// `Metrics`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Metrics {
    #[prost(message, optional, tag = "2")]
    pub pids: Option<Pids>,
    #[prost(message, optional, tag = "3")]
    pub cpu: Option<Cpu>,
    #[prost(message, optional, tag = "4")]
    pub memory: Option<Memory>,
    #[prost(message, optional, tag = "9")]
    pub memory_oom_control: Option<OomControl>,
}

/// `PidsStat`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Pids {
    #[prost(uint64, tag = "1")]
    pub current: u64,
    #[prost(uint64, tag = "2")]
    pub limit: u64,
}

/// `CPUStat`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Cpu {
    #[prost(message, optional, tag = "1")]
    pub usage: Option<Usage>,
    #[prost(message, optional, tag = "2")]
    pub throttling: Option<Throttle>,
}

/// `CPUUsage`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Usage {
    #[prost(uint64, tag = "1")]
    pub total: u64,
    #[prost(uint64, tag = "2")]
    pub kernel: u64,
    #[prost(uint64, tag = "3")]
    pub user: u64,
    #[prost(uint64, repeated, tag = "4")]
    pub per_cpu: Vec<u64>,
}

/// `Throttle`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Throttle {
    #[prost(uint64, tag = "1")]
    pub periods: u64,
    #[prost(uint64, tag = "2")]
    pub throttled_periods: u64,
    #[prost(uint64, tag = "3")]
    pub throttled_time: u64,
}

/// `MemoryStat`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Memory {
    #[prost(uint64, tag = "1")]
    pub cache: u64,
    #[prost(uint64, tag = "2")]
    pub rss: u64,
    #[prost(uint64, tag = "3")]
    pub rss_huge: u64,
    #[prost(uint64, tag = "4")]
    pub mapped_file: u64,
    #[prost(uint64, tag = "5")]
    pub dirty: u64,
    #[prost(uint64, tag = "6")]
    pub writeback: u64,
    #[prost(uint64, tag = "7")]
    pub pg_pg_in: u64,
    #[prost(uint64, tag = "8")]
    pub pg_pg_out: u64,
    #[prost(uint64, tag = "9")]
    pub pg_fault: u64,
    #[prost(uint64, tag = "10")]
    pub pg_maj_fault: u64,
    #[prost(uint64, tag = "11")]
    pub inactive_anon: u64,
    #[prost(uint64, tag = "12")]
    pub active_anon: u64,
    #[prost(uint64, tag = "13")]
    pub inactive_file: u64,
    #[prost(uint64, tag = "14")]
    pub active_file: u64,
    #[prost(uint64, tag = "15")]
    pub unevictable: u64,
    #[prost(uint64, tag = "16")]
    pub hierarchical_memory_limit: u64,
    #[prost(uint64, tag = "17")]
    pub hierarchical_swap_limit: u64,
    #[prost(uint64, tag = "18")]
    pub total_cache: u64,
    #[prost(uint64, tag = "19")]
    pub total_rss: u64,
    #[prost(uint64, tag = "20")]
    pub total_rss_huge: u64,
    #[prost(uint64, tag = "21")]
    pub total_mapped_file: u64,
    #[prost(uint64, tag = "22")]
    pub total_dirty: u64,
    #[prost(uint64, tag = "23")]
    pub total_writeback: u64,
    #[prost(uint64, tag = "24")]
    pub total_pg_pg_in: u64,
    #[prost(uint64, tag = "25")]
    pub total_pg_pg_out: u64,
    #[prost(uint64, tag = "26")]
    pub total_pg_fault: u64,
    #[prost(uint64, tag = "27")]
    pub total_pg_maj_fault: u64,
    #[prost(uint64, tag = "28")]
    pub total_inactive_anon: u64,
    #[prost(uint64, tag = "29")]
    pub total_active_anon: u64,
    #[prost(uint64, tag = "30")]
    pub total_inactive_file: u64,
    #[prost(uint64, tag = "31")]
    pub total_active_file: u64,
    #[prost(uint64, tag = "32")]
    pub total_unevictable: u64,
    #[prost(message, optional, tag = "33")]
    pub usage: Option<Entry>,
    #[prost(message, optional, tag = "34")]
    pub swap: Option<Entry>,
    #[prost(message, optional, tag = "35")]
    pub kernel: Option<Entry>,
    #[prost(message, optional, tag = "36")]
    pub kernel_tcp: Option<Entry>,
}

/// `MemoryEntry`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Entry {
    #[prost(uint64, tag = "1")]
    pub limit: u64,
    #[prost(uint64, tag = "2")]
    pub usage: u64,
    #[prost(uint64, tag = "3")]
    pub max: u64,
    #[prost(uint64, tag = "4")]
    pub failcnt: u64,
}

/// `MemoryOomControl`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OomControl {
    #[prost(uint64, tag = "1")]
    pub oom_kill_disable: u64,
    #[prost(uint64, tag = "2")]
    pub under_oom: u64,
    #[prost(uint64, tag = "3")]
    pub oom_kill: u64,
}

impl From<&counted::Stats> for Metrics {
    fn from(stats: &counted::Stats) -> Self {
        let cpu = &stats.cpu;
        let oom = &stats.memory_oom_control;
        Self {
            pids: Some(Pids {
                current: stats.pids.current,
                limit: stats.pids.limit,
            }),
            cpu: Some(Cpu {
                usage: Some(Usage {
                    total: cpu.total,
                    kernel: cpu.kernel,
                    user: cpu.user,
                    per_cpu: cpu.per_cpu.clone(),
                }),
                throttling: Some(Throttle {
                    periods: cpu.periods,
                    throttled_periods: cpu.throttled_periods,
                    throttled_time: cpu.throttled_time,
                }),
            }),
            memory: Some(Memory::from(&stats.memory)),
            memory_oom_control: Some(OomControl {
                oom_kill_disable: oom.oom_kill_disable,
                under_oom: oom.under_oom,
                oom_kill: oom.oom_kill,
            }),
        }
    }
}

impl From<&counted::Memory> for Memory {
    fn from(memory: &counted::Memory) -> Self {
        Self {
            cache: memory.cache,
            rss: memory.rss,
            rss_huge: memory.rss_huge,
            mapped_file: memory.mapped_file,
            dirty: memory.dirty,
            writeback: memory.writeback,
            pg_pg_in: memory.pg_pg_in,
            pg_pg_out: memory.pg_pg_out,
            pg_fault: memory.pg_fault,
            pg_maj_fault: memory.pg_maj_fault,
            inactive_anon: memory.inactive_anon,
            active_anon: memory.active_anon,
            inactive_file: memory.inactive_file,
            active_file: memory.active_file,
            unevictable: memory.unevictable,
            hierarchical_memory_limit: memory.hierarchical_memory_limit,
            hierarchical_swap_limit: memory.hierarchical_swap_limit,
            total_cache: memory.total_cache,
            total_rss: memory.total_rss,
            total_rss_huge: memory.total_rss_huge,
            total_mapped_file: memory.total_mapped_file,
            total_dirty: memory.total_dirty,
            total_writeback: memory.total_writeback,
            total_pg_pg_in: memory.total_pg_pg_in,
            total_pg_pg_out: memory.total_pg_pg_out,
            total_pg_fault: memory.total_pg_fault,
            total_pg_maj_fault: memory.total_pg_maj_fault,
            total_inactive_anon: memory.total_inactive_anon,
            total_active_anon: memory.total_active_anon,
            total_inactive_file: memory.total_inactive_file,
            total_active_file: memory.total_active_file,
            total_unevictable: memory.total_unevictable,
            usage: Some(memory.usage.into()),
            swap: Some(memory.swap.into()),
            kernel: Some(memory.kernel.into()),
            kernel_tcp: Some(memory.kernel_tcp.into()),
        }
    }
}

impl From<counted::Entry> for Entry {
    fn from(entry: counted::Entry) -> Self {
        Self {
            limit: entry.limit,
            usage: entry.usage,
            max: entry.max,
            failcnt: entry.failcnt,
        }
    }
}
