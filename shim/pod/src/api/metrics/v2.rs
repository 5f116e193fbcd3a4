//! `io.containerd.cgroups.v2`: microseconds and bytes.

#![allow(
    missing_docs,
    reason = "the fields are the kernel's, explained in cgroup-v2.rst"
)]

use slipway_shim_cgroup::stats::v2 as counted;

/// `Metrics`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Metrics {
    #[prost(message, optional, tag = "1")]
    pub pids: Option<Pids>,
    #[prost(message, optional, tag = "2")]
    pub cpu: Option<Cpu>,
    #[prost(message, optional, tag = "4")]
    pub memory: Option<Memory>,
    #[prost(message, optional, tag = "8")]
    pub memory_events: Option<MemoryEvents>,
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
    #[prost(uint64, tag = "1")]
    pub usage_usec: u64,
    #[prost(uint64, tag = "2")]
    pub user_usec: u64,
    #[prost(uint64, tag = "3")]
    pub system_usec: u64,
    #[prost(uint64, tag = "4")]
    pub nr_periods: u64,
    #[prost(uint64, tag = "5")]
    pub nr_throttled: u64,
    #[prost(uint64, tag = "6")]
    pub throttled_usec: u64,
    #[prost(uint64, tag = "8")]
    pub nr_bursts: u64,
    #[prost(uint64, tag = "9")]
    pub burst_usec: u64,
}

/// `MemoryStat`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Memory {
    #[prost(uint64, tag = "1")]
    pub anon: u64,
    #[prost(uint64, tag = "2")]
    pub file: u64,
    #[prost(uint64, tag = "3")]
    pub kernel_stack: u64,
    #[prost(uint64, tag = "4")]
    pub slab: u64,
    #[prost(uint64, tag = "5")]
    pub sock: u64,
    #[prost(uint64, tag = "6")]
    pub shmem: u64,
    #[prost(uint64, tag = "7")]
    pub file_mapped: u64,
    #[prost(uint64, tag = "8")]
    pub file_dirty: u64,
    #[prost(uint64, tag = "9")]
    pub file_writeback: u64,
    #[prost(uint64, tag = "10")]
    pub anon_thp: u64,
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
    pub slab_reclaimable: u64,
    #[prost(uint64, tag = "17")]
    pub slab_unreclaimable: u64,
    #[prost(uint64, tag = "18")]
    pub pgfault: u64,
    #[prost(uint64, tag = "19")]
    pub pgmajfault: u64,
    #[prost(uint64, tag = "20")]
    pub workingset_refault: u64,
    #[prost(uint64, tag = "21")]
    pub workingset_activate: u64,
    #[prost(uint64, tag = "22")]
    pub workingset_nodereclaim: u64,
    #[prost(uint64, tag = "23")]
    pub pgrefill: u64,
    #[prost(uint64, tag = "24")]
    pub pgscan: u64,
    #[prost(uint64, tag = "25")]
    pub pgsteal: u64,
    #[prost(uint64, tag = "26")]
    pub pgactivate: u64,
    #[prost(uint64, tag = "27")]
    pub pgdeactivate: u64,
    #[prost(uint64, tag = "28")]
    pub pglazyfree: u64,
    #[prost(uint64, tag = "29")]
    pub pglazyfreed: u64,
    #[prost(uint64, tag = "30")]
    pub thp_fault_alloc: u64,
    #[prost(uint64, tag = "31")]
    pub thp_collapse_alloc: u64,
    #[prost(uint64, tag = "32")]
    pub usage: u64,
    #[prost(uint64, tag = "33")]
    pub usage_limit: u64,
    #[prost(uint64, tag = "34")]
    pub swap_usage: u64,
    #[prost(uint64, tag = "35")]
    pub swap_limit: u64,
    #[prost(uint64, tag = "36")]
    pub max_usage: u64,
    #[prost(uint64, tag = "37")]
    pub swap_max_usage: u64,
}

/// `MemoryEvents`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MemoryEvents {
    #[prost(uint64, tag = "1")]
    pub low: u64,
    #[prost(uint64, tag = "2")]
    pub high: u64,
    #[prost(uint64, tag = "3")]
    pub max: u64,
    #[prost(uint64, tag = "4")]
    pub oom: u64,
    #[prost(uint64, tag = "5")]
    pub oom_kill: u64,
    #[prost(uint64, tag = "6")]
    pub oom_group_kill: u64,
}

impl From<&counted::Stats> for Metrics {
    fn from(stats: &counted::Stats) -> Self {
        Self {
            pids: Some(Pids {
                current: stats.pids.current,
                limit: stats.pids.limit,
            }),
            cpu: Some(Cpu::from(&stats.cpu)),
            memory: Some(Memory::from(&stats.memory)),
            memory_events: Some(MemoryEvents::from(&stats.memory_events)),
        }
    }
}

impl From<&counted::Cpu> for Cpu {
    fn from(cpu: &counted::Cpu) -> Self {
        Self {
            usage_usec: cpu.usage_usec,
            user_usec: cpu.user_usec,
            system_usec: cpu.system_usec,
            nr_periods: cpu.nr_periods,
            nr_throttled: cpu.nr_throttled,
            throttled_usec: cpu.throttled_usec,
            nr_bursts: cpu.nr_bursts,
            burst_usec: cpu.burst_usec,
        }
    }
}

impl From<&counted::Memory> for Memory {
    fn from(memory: &counted::Memory) -> Self {
        Self {
            anon: memory.anon,
            file: memory.file,
            kernel_stack: memory.kernel_stack,
            slab: memory.slab,
            sock: memory.sock,
            shmem: memory.shmem,
            file_mapped: memory.file_mapped,
            file_dirty: memory.file_dirty,
            file_writeback: memory.file_writeback,
            anon_thp: memory.anon_thp,
            inactive_anon: memory.inactive_anon,
            active_anon: memory.active_anon,
            inactive_file: memory.inactive_file,
            active_file: memory.active_file,
            unevictable: memory.unevictable,
            slab_reclaimable: memory.slab_reclaimable,
            slab_unreclaimable: memory.slab_unreclaimable,
            pgfault: memory.pgfault,
            pgmajfault: memory.pgmajfault,
            workingset_refault: memory.workingset_refault,
            workingset_activate: memory.workingset_activate,
            workingset_nodereclaim: memory.workingset_nodereclaim,
            pgrefill: memory.pgrefill,
            pgscan: memory.pgscan,
            pgsteal: memory.pgsteal,
            pgactivate: memory.pgactivate,
            pgdeactivate: memory.pgdeactivate,
            pglazyfree: memory.pglazyfree,
            pglazyfreed: memory.pglazyfreed,
            thp_fault_alloc: memory.thp_fault_alloc,
            thp_collapse_alloc: memory.thp_collapse_alloc,
            usage: memory.usage,
            usage_limit: memory.usage_limit,
            swap_usage: memory.swap_usage,
            swap_limit: memory.swap_limit,
            max_usage: memory.max_usage,
            swap_max_usage: memory.swap_max_usage,
        }
    }
}

impl From<&counted::MemoryEvents> for MemoryEvents {
    fn from(events: &counted::MemoryEvents) -> Self {
        Self {
            low: events.low,
            high: events.high,
            max: events.max,
            oom: events.oom,
            oom_kill: events.oom_kill,
            oom_group_kill: events.oom_group_kill,
        }
    }
}
