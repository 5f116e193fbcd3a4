//! `cgroup1/stats/metrics.proto` and `cgroup2/stats/metrics.proto` of containerd/cgroups v3: what `Task.Stats`
//! answers. The type tells CRI the units, so it must be that of the cgroup version in use.

use prost::Message;
use slipway_shim_cgroup::Stats;

use super::types::Any;

/// The statistics as containerd wants them.
#[must_use]
pub fn encode(stats: &Stats) -> Any {
    match stats {
        Stats::V1(stats) => Any {
            type_url: "io.containerd.cgroups.v1.Metrics".to_owned(),
            value: v1::Metrics::from(stats.as_ref()).encode_to_vec(),
        },
        Stats::V2(stats) => Any {
            type_url: "io.containerd.cgroups.v2.Metrics".to_owned(),
            value: v2::Metrics::from(stats.as_ref()).encode_to_vec(),
        },
    }
}

pub mod v1;
pub mod v2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_counts_in_nanoseconds_under_its_own_type() {
        let mut stats = slipway_shim_cgroup::stats::v1::Stats::default();
        stats.cpu.total = 7_000;
        stats.memory.usage.usage = 4096;
        stats.memory.total_inactive_file = 1024;
        let any = encode(&Stats::V1(Box::new(stats)));
        assert_eq!(any.type_url, "io.containerd.cgroups.v1.Metrics");
        let metrics = v1::Metrics::decode(any.value.as_slice()).unwrap();
        assert_eq!(metrics.cpu.unwrap().usage.unwrap().total, 7_000);
        let memory = metrics.memory.unwrap();
        assert_eq!(memory.usage.unwrap().usage, 4096);
        assert_eq!(memory.total_inactive_file, 1024);
    }

    #[test]
    fn version_2_counts_in_microseconds_under_its_own_type() {
        let mut stats = slipway_shim_cgroup::stats::v2::Stats::default();
        stats.cpu.usage_usec = 7;
        stats.memory.usage = 4096;
        let any = encode(&Stats::V2(Box::new(stats)));
        assert_eq!(any.type_url, "io.containerd.cgroups.v2.Metrics");
        let metrics = v2::Metrics::decode(any.value.as_slice()).unwrap();
        assert_eq!(metrics.cpu.unwrap().usage_usec, 7);
        assert_eq!(metrics.memory.unwrap().usage, 4096);
    }
}
