//! What a spec may ask for and this runtime does not do: refused by name, so that nobody believes in a
//! protection or a hook that is not there.

use serde::de::IgnoredAny;
use slipway_shim_oci::{Hooks, Linux, Process, Spec};

use crate::SpecError;

/// Refuses the first field that would be ignored.
pub(crate) fn unsupported(spec: &Spec) -> Result<(), SpecError> {
    if let Some(hooks) = &spec.hooks {
        refuse_hooks(hooks)?;
    }
    if let Some(process) = &spec.process {
        refuse_process(process)?;
    }
    match &spec.linux {
        Some(linux) => refuse_linux(linux),
        None => Err(SpecError::Missing { field: "linux" }),
    }
}

fn refuse_hooks(hooks: &Hooks) -> Result<(), SpecError> {
    let all: [(&str, &Option<Vec<IgnoredAny>>); 6] = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (name, list) in all {
        refuse(
            list.as_ref().is_some_and(|list| !list.is_empty()),
            format!("hooks.{name}"),
            "running a hook",
        )?;
    }
    Ok(())
}

pub(crate) fn refuse_process(process: &Process) -> Result<(), SpecError> {
    let label = process.selinux_label.as_deref().unwrap_or_default();
    refuse(
        !label.is_empty(),
        "process.selinuxLabel",
        "an SELinux label (seLinuxOptions, or enable_selinux in containerd's configuration)",
    )?;
    refuse(
        process.io_priority.is_some(),
        "process.ioPriority",
        "an I/O priority",
    )?;
    refuse(
        process.scheduler.is_some(),
        "process.scheduler",
        "a scheduling policy",
    )
}

fn refuse_linux(linux: &Linux) -> Result<(), SpecError> {
    let label = linux.mount_label.as_deref().unwrap_or_default();
    refuse(
        !label.is_empty(),
        "linux.mountLabel",
        "an SELinux label (seLinuxOptions, or enable_selinux in containerd's configuration)",
    )?;
    refuse(linux.intel_rdt.is_some(), "linux.intelRdt", "Intel RDT")?;
    refuse(
        linux.personality.is_some(),
        "linux.personality",
        "a personality",
    )?;
    refuse(
        linux.memory_policy.is_some(),
        "linux.memoryPolicy",
        "a memory policy",
    )?;
    refuse(
        linux
            .time_offsets
            .as_ref()
            .is_some_and(|offsets| !offsets.is_empty()),
        "linux.timeOffsets",
        "a clock offset",
    )?;
    refuse(
        linux
            .net_devices
            .as_ref()
            .is_some_and(|devices| !devices.is_empty()),
        "linux.netDevices",
        "moving a network device",
    )
}

fn refuse(found: bool, field: impl Into<String>, what: &str) -> Result<(), SpecError> {
    if found {
        return Err(SpecError::unsupported(field, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<(), SpecError> {
        unsupported(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn an_ordinary_spec_passes() {
        check(
            r#"{"ociVersion":"1.2.0","hooks":{"poststart":[]},
                "process":{"user":{"uid":0,"gid":0},"cwd":"/","selinuxLabel":""},
                "linux":{"mountLabel":"","uidMappings":[]}}"#,
        )
        .unwrap();
    }

    #[test]
    fn each_field_is_refused_by_its_name() {
        for (json, field) in [
            (
                r#""hooks":{"createRuntime":[{"path":"/h"}]},"linux":{}"#,
                "hooks.createRuntime",
            ),
            (
                r#""process":{"user":{"uid":0,"gid":0},"cwd":"/","selinuxLabel":"a:b:c"},"linux":{}"#,
                "process.selinuxLabel",
            ),
            (r#""linux":{"mountLabel":"a:b:c"}"#, "linux.mountLabel"),
            (
                r#""linux":{"personality":{"domain":"LINUX32"}}"#,
                "linux.personality",
            ),
            (
                r#""linux":{"timeOffsets":{"boottime":{"secs":1}}}"#,
                "linux.timeOffsets",
            ),
            (r#""hostname":"x""#, "linux: missing"),
        ] {
            let message = check(&format!(r#"{{"ociVersion":"1.2.0",{json}}}"#))
                .unwrap_err()
                .to_string();
            assert!(message.starts_with(field), "{message}");
        }
    }
}
