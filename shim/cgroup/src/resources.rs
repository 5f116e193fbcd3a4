//! The limits of a container: `linux.resources` of the OCI spec, checked.

use std::collections::BTreeMap;

use slipway_shim_oci::{DeviceType, LinuxDeviceCgroup, LinuxResources};
use thiserror::Error;

mod convert;

pub(crate) use convert::{swap_only, weight_of_shares};

/// More entries than any runtime writes; a longer list is refused, not cut.
const MAX_ENTRIES: usize = 1024;
/// Longest value written to a file of a cgroup; the kernel takes at most a page.
const MAX_VALUE: usize = 4096;

/// A limit that cannot be meant.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("linux.resources.{field}: {reason}")]
pub struct ResourcesError {
    field: &'static str,
    reason: String,
}

/// What `linux.resources` asks for. `None` leaves the kernel's default, or on an update the present value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// Weight against siblings, in v1's scale of 2 to 262144.
    pub cpu_shares: Option<u64>,
    /// Microseconds of CPU time in each period; negative for no limit.
    pub cpu_quota: Option<i64>,
    /// The period, in microseconds.
    pub cpu_period: Option<u64>,
    /// Microseconds that may be saved up for a burst.
    pub cpu_burst: Option<u64>,
    /// 1 for SCHED_IDLE.
    pub cpu_idle: Option<i64>,
    /// CPUs to run on, as a list of ranges.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to allocate from, as a list of ranges.
    pub cpuset_mems: Option<String>,
    /// Bytes of memory; -1 for no limit.
    pub memory_limit: Option<i64>,
    /// Bytes of memory kept from reclaim (v2) or aimed at under pressure (v1).
    pub memory_reservation: Option<i64>,
    /// Bytes of memory and swap together; -1 for no limit.
    pub memory_swap: Option<i64>,
    /// 0 to 100; v1 only.
    pub memory_swappiness: Option<u64>,
    /// Stop instead of kill at the memory limit; v1 only.
    pub oom_kill_disable: bool,
    /// Processes and threads; negative for no limit.
    pub pids_limit: Option<i64>,
    /// Limits of huge pages, one a size.
    pub hugepages: Vec<Hugepages>,
    /// Files of cgroup v2 and what to write to them.
    pub unified: BTreeMap<String, String>,
    /// Device rules; the last that fits decides.
    pub devices: Vec<DeviceRule>,
}

/// A limit of huge pages of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hugepages {
    /// Such as `2MB`.
    pub size: String,
    /// Bytes.
    pub limit: u64,
}

/// A rule of the devices controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRule {
    /// Allow or deny.
    pub allow: bool,
    /// Which kind.
    pub kind: DeviceKind,
    /// Major number; `None` for all.
    pub major: Option<u32>,
    /// Minor number; `None` for all.
    pub minor: Option<u32>,
    /// Some of `rwm`.
    pub access: String,
}

/// The kind of devices a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Block and character devices.
    All,
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

impl Resources {
    /// Takes over the limits of an OCI spec, or of an update. As everywhere in runc, 0 means "not set" for all but
    /// the number of processes.
    pub fn from_oci(oci: &LinuxResources) -> Result<Self, ResourcesError> {
        let mut resources = Self::default();
        if let Some(cpu) = &oci.cpu {
            resources.cpu_shares = cpu.shares.filter(|shares| *shares != 0);
            resources.cpu_quota = cpu.quota.filter(|quota| *quota != 0);
            resources.cpu_period = cpu.period.filter(|period| *period != 0);
            resources.cpu_burst = cpu.burst;
            resources.cpu_idle = cpu.idle;
            resources.cpuset_cpus = list("cpu.cpus", cpu.cpus.as_deref())?;
            resources.cpuset_mems = list("cpu.mems", cpu.mems.as_deref())?;
        }
        if let Some(memory) = &oci.memory {
            resources.memory_limit = bytes("memory.limit", memory.limit)?;
            resources.memory_reservation = bytes("memory.reservation", memory.reservation)?;
            resources.memory_swap = bytes("memory.swap", memory.swap)?;
            resources.memory_swappiness = memory.swappiness;
            resources.oom_kill_disable = memory.disable_oom_killer.unwrap_or(false);
        }
        resources.pids_limit = oci.pids.as_ref().map(|pids| pids.limit);
        for pages in bounded(
            "hugepageLimits",
            oci.hugepage_limits.as_deref().unwrap_or_default(),
        )? {
            let size = &pages.page_size;
            if size.is_empty()
                || size.len() > 16
                || !size.bytes().all(|b| b.is_ascii_alphanumeric())
            {
                return Err(refuse(
                    "hugepageLimits",
                    format!("{size:?} is not a page size"),
                ));
            }
            let limit = u64::try_from(pages.limit).unwrap_or(u64::MAX);
            resources.hugepages.push(Hugepages {
                size: size.clone(),
                limit,
            });
        }
        for rule in bounded("devices", oci.devices.as_deref().unwrap_or_default())? {
            resources.devices.push(device_rule(rule)?);
        }
        if let Some(unified) = &oci.unified {
            if unified.len() > MAX_ENTRIES {
                return Err(refuse(
                    "unified",
                    format!("{} entries are more than {MAX_ENTRIES}", unified.len()),
                ));
            }
            for (name, value) in unified {
                check_unified(name, value)?;
                resources
                    .unified
                    .insert(name.clone(), value.trim().to_owned());
            }
        }
        Ok(resources)
    }
}

fn refuse(field: &'static str, reason: impl Into<String>) -> ResourcesError {
    ResourcesError {
        field,
        reason: reason.into(),
    }
}

fn bounded<'a, T>(field: &'static str, entries: &'a [T]) -> Result<&'a [T], ResourcesError> {
    if entries.len() > MAX_ENTRIES {
        return Err(refuse(
            field,
            format!("{} entries are more than {MAX_ENTRIES}", entries.len()),
        ));
    }
    Ok(entries)
}

fn bytes(field: &'static str, value: Option<i64>) -> Result<Option<i64>, ResourcesError> {
    match value {
        Some(value) if value < -1 => Err(refuse(
            field,
            format!("{value} is neither a size nor -1 for no limit"),
        )),
        other => Ok(other.filter(|value| *value != 0)),
    }
}

/// A list of CPUs or memory nodes, such as `0-3,8` (cpuset(7), "List format").
fn list(field: &'static str, value: Option<&str>) -> Result<Option<String>, ResourcesError> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    if value.len() > MAX_VALUE || convert::list_to_bits(value).is_none() {
        return Err(refuse(
            field,
            format!("{value:?} is not a list of numbers and ranges"),
        ));
    }
    Ok(Some(value.to_owned()))
}

/// A key of the unified map is a file name of the cgroup, so it must not lead out of it (config-linux.md, "Unified").
fn check_unified(name: &str, value: &str) -> Result<(), ResourcesError> {
    let is_name = name.len() <= 255
        && name.find('.').is_some_and(|dot| dot > 0)
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !is_name {
        return Err(refuse(
            "unified",
            format!("{name:?} is not of the form controller.parameter"),
        ));
    }
    if value.len() > MAX_VALUE || value.contains('\0') {
        return Err(refuse(
            "unified",
            format!("the value of {name:?} is not text of at most {MAX_VALUE} bytes"),
        ));
    }
    Ok(())
}

fn device_rule(rule: &LinuxDeviceCgroup) -> Result<DeviceRule, ResourcesError> {
    let kind = match rule.typ {
        None | Some(DeviceType::A) => DeviceKind::All,
        Some(DeviceType::B) => DeviceKind::Block,
        Some(DeviceType::C | DeviceType::U) => DeviceKind::Char,
        Some(DeviceType::P) => return Err(refuse("devices", "a FIFO is not a device")),
    };
    let access = rule
        .access
        .clone()
        .filter(|access| !access.is_empty())
        .unwrap_or_else(|| "rwm".to_owned());
    if access.len() > 3 || !access.bytes().all(|b| b"rwm".contains(&b)) {
        return Err(refuse(
            "devices",
            format!("access {access:?} is not made of r, w and m"),
        ));
    }
    let number = |value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|_| refuse("devices", format!("number {value}"))),
    };
    Ok(DeviceRule {
        allow: rule.allow,
        kind,
        major: number(rule.major)?,
        minor: number(rule.minor)?,
        access,
    })
}

impl DeviceRule {
    /// For every device there is.
    pub(crate) fn is_for_all(&self) -> bool {
        // The kernel reads no numbers after the kind `a` (cgroup-v1/devices.rst).
        self.kind == DeviceKind::All
    }
}

impl Resources {
    /// systemd knows quotas in whole percents only, and applies its own after each reload, so the quota is rounded up
    /// to one and the same is written to the file (opencontainers/cgroups systemd/common.go@v0.0.6, addCPUQuota).
    pub(crate) fn rounded_for_systemd(&self) -> Self {
        let mut rounded = self.clone();
        if let Some(quota) = self.cpu_quota.filter(|quota| *quota > 0) {
            rounded.cpu_quota = Some(convert::round_quota(quota, self.cpu_period));
        }
        rounded
    }

    pub(crate) fn quota_per_second(&self) -> Option<u64> {
        convert::quota_per_second(self.cpu_quota, self.cpu_period)
    }

    pub(crate) fn cpu_bits(&self) -> Option<Vec<u8>> {
        self.cpuset_cpus.as_deref().and_then(convert::list_to_bits)
    }

    pub(crate) fn mem_bits(&self) -> Option<Vec<u8>> {
        self.cpuset_mems.as_deref().and_then(convert::list_to_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(json: &str) -> Result<Resources, ResourcesError> {
        Resources::from_oci(&serde_json::from_str(json).expect("is an OCI spec's resources"))
    }

    #[test]
    fn what_cri_writes_is_taken() {
        let taken = resources(
            r#"{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"}],
                "memory":{"limit":67108864,"swap":67108864},"cpu":{"shares":102,"quota":20000,"period":100000},
                "hugepageLimits":[{"pageSize":"2MB","limit":0}],"unified":{"memory.oom.group":"1"}}"#,
        )
        .expect("is taken");
        assert_eq!(taken.memory_limit, Some(64 << 20));
        assert_eq!(taken.cpu_shares, Some(102));
        assert_eq!(taken.quota_per_second(), Some(200_000));
        assert_eq!(
            taken.hugepages,
            [Hugepages {
                size: "2MB".into(),
                limit: 0
            }]
        );
        assert!(taken.devices[0].is_for_all() && !taken.devices[0].allow);
        assert_eq!(
            (taken.devices[1].kind, taken.devices[1].major),
            (DeviceKind::Char, Some(1))
        );
        assert_eq!(taken.unified["memory.oom.group"], "1");
    }

    #[test]
    fn zero_means_unset() {
        let taken = resources(
            r#"{"memory":{"limit":0},"cpu":{"shares":0,"quota":0,"period":0,"cpus":""}}"#,
        );
        assert_eq!(taken, Ok(Resources::default()));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (json, sentence) in [
            (
                r#"{"memory":{"limit":-5}}"#,
                "linux.resources.memory.limit: -5 is neither a size nor -1 for no limit",
            ),
            (
                r#"{"cpu":{"cpus":"0-"}}"#,
                "linux.resources.cpu.cpus: \"0-\" is not a list of numbers and ranges",
            ),
            (
                r#"{"unified":{"../x.y":"1"}}"#,
                "linux.resources.unified: \"../x.y\" is not of the form controller.parameter",
            ),
            (
                r#"{"devices":[{"allow":true,"access":"x"}]}"#,
                "linux.resources.devices: access \"x\" is not made of r, w and m",
            ),
            (
                r#"{"hugepageLimits":[{"pageSize":"../2MB","limit":1}]}"#,
                "linux.resources.hugepageLimits: \"../2MB\" is not a page size",
            ),
        ] {
            assert_eq!(resources(json).expect_err(json).to_string(), sentence);
        }
    }
}
