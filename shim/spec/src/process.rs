//! `process`.

use slipway_shim_oci::{self as oci, RlimitType};
use slipway_shim_wire::{Process, Rlimit};

use crate::SpecError;
use crate::capabilities;
use crate::error::without_nul;

/// Translates `process`; `args` may be empty here, the worker says so on the container's log.
pub(crate) fn translate(process: Option<&oci::Process>) -> Result<Process, SpecError> {
    let Some(process) = process else {
        return Err(SpecError::Missing { field: "process" });
    };
    let args = texts("process.args", process.args.as_deref())?;
    let env = texts("process.env", process.env.as_deref())?;
    if let Some(index) = env.iter().position(|entry| !entry.contains('=')) {
        return Err(SpecError::invalid(
            format!("process.env[{index}]"),
            "not of the form NAME=value",
        ));
    }
    let cwd = &process.cwd;
    if !cwd.is_absolute() || cwd.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(SpecError::invalid(
            "process.cwd",
            format!("{cwd:?} is not an absolute path"),
        ));
    }
    let user = &process.user;
    Ok(Process {
        args,
        env,
        cwd: cwd.clone(),
        uid: user.uid,
        gid: user.gid,
        additional_gids: user.additional_gids.clone().unwrap_or_default(),
        umask: user.umask.map(|umask| umask & 0o777),
        capabilities: capabilities::translate(process.capabilities.as_ref()),
        no_new_privileges: process.no_new_privileges.unwrap_or(false),
        rlimits: rlimits(process.rlimits.as_deref().unwrap_or_default())?,
        oom_score_adj: oom_score_adj(process.oom_score_adj)?,
        apparmor_profile: apparmor(process.apparmor_profile.as_deref())?,
    })
}

fn texts(field: &str, texts: Option<&[String]>) -> Result<Vec<String>, SpecError> {
    let texts = texts.unwrap_or_default();
    for (index, text) in texts.iter().enumerate() {
        without_nul(|| format!("{field}[{index}]"), text)?;
    }
    Ok(texts.to_vec())
}

fn oom_score_adj(value: Option<i32>) -> Result<Option<i32>, SpecError> {
    match value {
        Some(value) if !(-1000..=1000).contains(&value) => Err(SpecError::invalid(
            "process.oomScoreAdj",
            format!("{value} is not between -1000 and 1000"),
        )),
        value => Ok(value),
    }
}

fn apparmor(profile: Option<&str>) -> Result<Option<String>, SpecError> {
    match profile {
        None | Some("" | "unconfined") => Ok(None),
        Some(profile) if profile.contains(['\0', '\n']) => Err(SpecError::invalid(
            "process.apparmorProfile",
            format!("{profile:?} is not a profile's name"),
        )),
        Some(profile) => Ok(Some(profile.to_owned())),
    }
}

fn rlimits(limits: &[oci::Rlimit]) -> Result<Vec<Rlimit>, SpecError> {
    let mut translated: Vec<Rlimit> = Vec::with_capacity(limits.len());
    for (index, limit) in limits.iter().enumerate() {
        let field = format!("process.rlimits[{index}]");
        let resource = resource(limit.typ);
        if translated.iter().any(|other| other.resource == resource) {
            return Err(SpecError::invalid(
                format!("{field}.type"),
                "a second limit of the same type",
            ));
        }
        if limit.soft > limit.hard {
            return Err(SpecError::invalid(
                format!("{field}.soft"),
                format!("{} is above the hard limit {}", limit.soft, limit.hard),
            ));
        }
        translated.push(Rlimit {
            resource,
            soft: limit.soft,
            hard: limit.hard,
        });
    }
    Ok(translated)
}

/// asm-generic/resource.h, which both our architectures use.
fn resource(typ: RlimitType) -> u32 {
    match typ {
        RlimitType::RlimitCpu => 0,
        RlimitType::RlimitFsize => 1,
        RlimitType::RlimitData => 2,
        RlimitType::RlimitStack => 3,
        RlimitType::RlimitCore => 4,
        RlimitType::RlimitRss => 5,
        RlimitType::RlimitNproc => 6,
        RlimitType::RlimitNofile => 7,
        RlimitType::RlimitMemlock => 8,
        RlimitType::RlimitAs => 9,
        RlimitType::RlimitLocks => 10,
        RlimitType::RlimitSigpending => 11,
        RlimitType::RlimitMsgqueue => 12,
        RlimitType::RlimitNice => 13,
        RlimitType::RlimitRtprio => 14,
        RlimitType::RlimitRttime => 15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Process, SpecError> {
        translate(Some(&serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn ids_limits_and_arguments() {
        let process = parse(
            r#"{"user":{"uid":7,"gid":8,"additionalGids":[9],"umask":18},"args":["/a.wasm","x"],
                "env":["A=b"],"cwd":"/w","noNewPrivileges":true,"oomScoreAdj":985,
                "apparmorProfile":"cri-containerd.apparmor.d",
                "rlimits":[{"type":"RLIMIT_NOFILE","soft":10,"hard":20}]}"#,
        )
        .unwrap();
        assert_eq!((process.uid, process.gid), (7, 8));
        assert_eq!(process.additional_gids, [9]);
        assert_eq!(process.umask, Some(0o22));
        assert_eq!(process.args, ["/a.wasm", "x"]);
        assert_eq!(process.rlimits[0].resource, 7);
        assert_eq!(
            process.apparmor_profile.as_deref(),
            Some("cri-containerd.apparmor.d")
        );
    }

    #[test]
    fn unconfined_means_no_profile() {
        let process =
            parse(r#"{"user":{"uid":0,"gid":0},"cwd":"/","apparmorProfile":"unconfined"}"#)
                .unwrap();
        assert_eq!(process.apparmor_profile, None);
        assert!(process.args.is_empty());
    }

    #[test]
    fn nonsense_is_refused_by_field() {
        let user = r#""user":{"uid":0,"gid":0}"#;
        for (rest, expected) in [
            (r#""cwd":"w""#, "process.cwd: \"w\" is not an absolute path"),
            (
                r#""cwd":"/","env":["X"]"#,
                "process.env[0]: not of the form",
            ),
            (
                r#""cwd":"/","args":["a\u0000b"]"#,
                "process.args[0]: contains a NUL byte",
            ),
            (
                r#""cwd":"/","oomScoreAdj":1001"#,
                "process.oomScoreAdj: 1001",
            ),
            (
                r#""cwd":"/","rlimits":[{"type":"RLIMIT_CPU","soft":2,"hard":1}]"#,
                "process.rlimits[0].soft: 2 is above",
            ),
        ] {
            let message = parse(&format!("{{{user},{rest}}}"))
                .unwrap_err()
                .to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        assert!(translate(None).is_err());
    }
}
