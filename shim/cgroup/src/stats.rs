//! What the kernel counted, in the shape of containerd's metrics messages.
//!
//! Field for field as in `io.containerd.cgroups.v1.Metrics` and `io.containerd.cgroups.v2.Metrics`
//! (containerd/cgroups cgroup1/stats/metrics.proto and cgroup2/stats/metrics.proto@v3.1.3), the latter with the units
//! of cgroup v2: microseconds. A file the kernel does not have counts as 0.

pub mod v1;
pub mod v2;

/// Statistics of one cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stats {
    /// Of cgroup v1.
    V1(Box<v1::Stats>),
    /// Of cgroup v2.
    V2(Box<v2::Stats>),
}

impl Stats {
    /// What kubelet counts as used: memory but for file pages that could be dropped at once (cAdvisor
    /// container/libcontainer/handler.go, setMemoryStats).
    pub fn working_set(&self) -> u64 {
        match self {
            Self::V1(stats) => stats
                .memory
                .usage
                .usage
                .saturating_sub(stats.memory.total_inactive_file),
            Self::V2(stats) => stats
                .memory
                .usage
                .saturating_sub(stats.memory.inactive_file),
        }
    }
}
