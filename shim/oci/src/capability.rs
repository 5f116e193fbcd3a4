//! Names of capabilities.

use serde::de::{Deserialize, Deserializer, Error};

/// A capability, by its number in linux/capability.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability(pub u8);

/// In the order of their numbers.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

impl<'de> Deserialize<'de> for Capability {
    /// In any case and with or without `CAP_`, as users write them in a pod's manifest.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = String::deserialize(deserializer)?;
        let upper = given.to_ascii_uppercase();
        let name = upper.trim_start_matches("CAP_");
        (0..)
            .zip(NAMES)
            .find(|(_, known)| *known == name)
            .map(|(number, _)| Self(number))
            .ok_or_else(|| D::Error::custom(format_args!("{given:?} is not a capability")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_spelling_of_a_name_is_taken() {
        for name in ["CAP_SYSLOG", "cap_syslog", "SYSLOG", "CAP_CAP_SYSLOG"] {
            let text = format!("{name:?}");
            let capability: Capability = serde_json::from_str(&text).expect(name);
            assert_eq!(capability, Capability(34), "{name}");
        }
    }

    #[test]
    fn an_unknown_one_is_refused_by_name() {
        let error = serde_json::from_str::<Capability>("\"CAP_FLY\"").expect_err("is unknown");
        assert!(error.to_string().contains("CAP_FLY"), "{error}");
    }
}
