//! Our limits as properties of a scope.
//!
//! Limits go to systemd as well as into the files: at each daemon-reload it writes what it knows into the files again.

use crate::hierarchy::Version;
use crate::resources::{DeviceKind, DeviceRule, Resources, swap_only, weight_of_shares};

use slipway_systemd::Body;

/// A property of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    /// Not known to every systemd a node of containerd 1.6 may have (v232 on), so left out if the call is refused.
    pub(crate) optional: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Bool(bool),
    U64(u64),
    Text(String),
    Pids(Vec<u32>),
    Bits(Vec<u8>),
    Devices(Vec<(String, String)>),
}

fn required(name: &'static str, value: Value) -> Property {
    Property {
        name,
        value,
        optional: false,
    }
}

fn optional(name: &'static str, value: Value) -> Property {
    Property {
        name,
        value,
        optional: true,
    }
}

/// All of a new scope: who is in it, where it is, and its limits.
pub(crate) fn scope(
    slice: &str,
    pid: u32,
    version: Version,
    resources: &Resources,
) -> Vec<Property> {
    let io_accounting = match version {
        Version::V1 => "BlockIOAccounting",
        Version::V2 => "IOAccounting",
    };
    let mut properties = vec![
        required(
            "Description",
            Value::Text("Slipway WebAssembly container".to_owned()),
        ),
        required("Slice", Value::Text(slice.to_owned())),
        required("PIDs", Value::Pids(vec![pid])),
        required("Delegate", Value::Bool(true)),
        required("DefaultDependencies", Value::Bool(false)),
        // Joining the memory controller later would lose what was charged before.
        required("MemoryAccounting", Value::Bool(true)),
        required("CPUAccounting", Value::Bool(true)),
        required(io_accounting, Value::Bool(true)),
        required("TasksAccounting", Value::Bool(true)),
        // A scope whose process was killed is "failed"; without this it would stay loaded (systemd v236).
        optional("CollectMode", Value::Text("inactive-or-failed".to_owned())),
    ];
    properties.extend(devices(&resources.devices));
    properties.extend(limits(version, resources));
    properties
}

/// The limits alone, for a scope that exists.
pub(crate) fn limits(version: Version, resources: &Resources) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut number =
        |name, value: Option<u64>| properties.extend(value.map(|v| required(name, Value::U64(v))));
    match version {
        Version::V1 => {
            number("MemoryLimit", resources.memory_limit.map(unlimited));
            number("CPUShares", resources.cpu_shares);
        }
        Version::V2 => {
            number("MemoryMax", resources.memory_limit.map(unlimited));
            number("MemoryLow", resources.memory_reservation.map(unlimited));
            // A swap limit that makes no sense is refused where the files are written.
            let swap = swap_only(resources.memory_swap, resources.memory_limit);
            number("MemorySwapMax", swap.ok().flatten().map(unlimited));
            // Weight 0 is how systemd writes cpu.idle.
            let weight = if resources.cpu_idle == Some(1) {
                None
            } else {
                resources.cpu_shares
            };
            number("CPUWeight", weight.map(weight_of_shares));
        }
    }
    number("CPUQuotaPerSecUSec", resources.quota_per_second());
    // systemd takes no limit of 0 tasks.
    number(
        "TasksMax",
        resources
            .pids_limit
            .map(|limit| unlimited(limit.max(-1)).max(1)),
    );
    if version == Version::V2 && resources.cpu_idle == Some(1) {
        properties.push(optional("CPUWeight", Value::U64(0)));
    }
    properties.extend(
        resources
            .cpu_period
            .map(|period| optional("CPUQuotaPeriodUSec", Value::U64(period))),
    );
    properties.extend(
        resources
            .cpu_bits()
            .map(|bits| optional("AllowedCPUs", Value::Bits(bits))),
    );
    properties.extend(
        resources
            .mem_bits()
            .map(|bits| optional("AllowedMemoryNodes", Value::Bits(bits))),
    );
    properties
}

/// -1 is "infinity", which systemd writes as the highest number.
fn unlimited(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Rules of the form "deny all, allow these" as systemd's own; it enforces them on both versions. Rules of another
/// form cannot be said, and give none.
fn devices(rules: &[DeviceRule]) -> Vec<Property> {
    let mut allowed = None;
    for rule in rules {
        match (&mut allowed, rule.is_for_all(), rule.allow) {
            (_, true, false) => allowed = Some(Vec::new()),
            (_, true, true) => allowed = None,
            (Some(list), false, true) => {
                list.extend(device_name(rule).map(|name| (name, rule.access.clone())));
            }
            (Some(_), false, false) => return Vec::new(),
            (None, false, _) => {}
        }
    }
    allowed.map_or_else(Vec::new, |list| {
        vec![
            optional("DevicePolicy", Value::Text("strict".to_owned())),
            optional("DeviceAllow", Value::Devices(list)),
        ]
    })
}

/// systemd names devices by path, or by kind and major number (systemd.resource-control(5); v240).
fn device_name(rule: &DeviceRule) -> Option<String> {
    let kind = match rule.kind {
        DeviceKind::Block => "block",
        DeviceKind::Char => "char",
        DeviceKind::All => return None,
    };
    match (rule.major, rule.minor) {
        (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
        (Some(major), None) => Some(format!("{kind}-{major}")),
        (None, None) => Some(format!("{kind}-*")),
        (None, Some(_)) => None,
    }
}

/// Writes an `a(sv)`.
pub(crate) fn write(body: &mut Body, properties: &[Property]) {
    body.array(8, |body| {
        for Property { name, value, .. } in properties {
            body.property(name, value.signature(), |body| value.write(body));
        }
    });
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::U64(_) => "t",
            Self::Text(_) => "s",
            Self::Pids(_) => "au",
            Self::Bits(_) => "ay",
            Self::Devices(_) => "a(ss)",
        }
    }

    fn write(&self, body: &mut Body) {
        match self {
            Self::Bool(value) => body.boolean(*value),
            Self::U64(value) => body.u64(*value),
            Self::Text(value) => body.string(value),
            Self::Pids(pids) => body.array(4, |body| pids.iter().for_each(|pid| body.u32(*pid))),
            Self::Bits(bytes) => {
                body.array(1, |body| bytes.iter().for_each(|byte| body.byte(*byte)));
            }
            Self::Devices(devices) => body.array(8, |body| {
                for (name, access) in devices {
                    body.align(8);
                    body.string(name);
                    body.string(access);
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(properties: &[Property], name: &str) -> Option<Value> {
        properties
            .iter()
            .find(|property| property.name == name)
            .map(|property| property.value.clone())
    }

    fn resources() -> Resources {
        Resources {
            cpu_shares: Some(1024),
            cpu_quota: Some(50_000),
            memory_limit: Some(1 << 20),
            memory_swap: Some(1 << 20),
            pids_limit: Some(0),
            cpuset_cpus: Some("0-1".into()),
            ..Resources::default()
        }
    }

    #[test]
    fn each_version_has_its_own_names() {
        let v1 = limits(Version::V1, &resources());
        assert_eq!(value(&v1, "MemoryLimit"), Some(Value::U64(1 << 20)));
        assert_eq!(value(&v1, "CPUShares"), Some(Value::U64(1024)));
        assert_eq!(value(&v1, "MemoryMax"), None);
        let v2 = limits(Version::V2, &resources());
        assert_eq!(value(&v2, "MemoryMax"), Some(Value::U64(1 << 20)));
        assert_eq!(value(&v2, "MemorySwapMax"), Some(Value::U64(0)));
        assert_eq!(value(&v2, "CPUWeight"), Some(Value::U64(100)));
        for properties in [v1, v2] {
            assert_eq!(
                value(&properties, "CPUQuotaPerSecUSec"),
                Some(Value::U64(500_000))
            );
            assert_eq!(value(&properties, "TasksMax"), Some(Value::U64(1)));
            assert_eq!(
                value(&properties, "AllowedCPUs"),
                Some(Value::Bits(vec![3]))
            );
        }
    }

    #[test]
    fn nothing_asked_is_nothing_said() {
        assert_eq!(limits(Version::V1, &Resources::default()), []);
        assert_eq!(limits(Version::V2, &Resources::default()), []);
    }

    #[test]
    fn no_limit_is_infinity() {
        let none = Resources {
            memory_limit: Some(-1),
            pids_limit: Some(-1),
            cpu_quota: Some(-1),
            ..Default::default()
        };
        for property in limits(Version::V2, &none) {
            assert_eq!(property.value, Value::U64(u64::MAX), "{}", property.name);
        }
    }

    #[test]
    fn deny_all_then_allow_becomes_a_strict_policy() {
        let rule = |allow, kind, major, minor| DeviceRule {
            allow,
            kind,
            major,
            minor,
            access: "rwm".into(),
        };
        let deny = rule(false, DeviceKind::All, None, None);
        let null = rule(true, DeviceKind::Char, Some(1), Some(3));
        let pts = rule(true, DeviceKind::Char, Some(136), None);
        let properties = devices(&[deny.clone(), null.clone(), pts]);
        let names = ["/dev/char/1:3", "char-136"].map(|name| (name.to_owned(), "rwm".to_owned()));
        assert_eq!(
            value(&properties, "DeviceAllow"),
            Some(Value::Devices(names.to_vec()))
        );
        assert_eq!(
            devices(&[deny, rule(true, DeviceKind::All, None, None)]),
            [],
            "privileged"
        );
        assert_eq!(devices(&[null]), []);
    }
}
