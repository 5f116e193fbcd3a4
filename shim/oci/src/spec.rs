//! The top level (`config.md`).

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{IdMapping, Linux, Process};

/// `config.json`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Spec {
    /// `ociVersion`
    #[serde(default, rename = "ociVersion")]
    pub version: String,
    /// `root`
    pub root: Option<Root>,
    /// `mounts`
    pub mounts: Option<Vec<Mount>>,
    /// `process`
    pub process: Option<Process>,
    /// `hostname`
    pub hostname: Option<String>,
    /// `domainname`
    pub domainname: Option<String>,
    /// `hooks`
    pub hooks: Option<Hooks>,
    /// `annotations`
    pub annotations: Option<HashMap<String, String>>,
    /// `linux`
    pub linux: Option<Linux>,
}

/// `root`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Root {
    /// `path`
    pub path: Option<PathBuf>,
    /// `readonly`
    pub readonly: Option<bool>,
}

/// One of `mounts`.
#[derive(Debug, Clone, Deserialize)]
pub struct Mount {
    /// `destination`
    pub destination: PathBuf,
    /// `type`
    #[serde(rename = "type")]
    pub typ: Option<String>,
    /// `source`
    pub source: Option<PathBuf>,
    /// `options`
    pub options: Option<Vec<String>>,
    /// `uidMappings`
    #[serde(rename = "uidMappings")]
    pub uid_mappings: Option<Vec<IdMapping>>,
    /// `gidMappings`
    #[serde(rename = "gidMappings")]
    pub gid_mappings: Option<Vec<IdMapping>>,
}

/// `hooks`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// `prestart`
    pub prestart: Option<Vec<IgnoredAny>>,
    /// `createRuntime`
    pub create_runtime: Option<Vec<IgnoredAny>>,
    /// `createContainer`
    pub create_container: Option<Vec<IgnoredAny>>,
    /// `startContainer`
    pub start_container: Option<Vec<IgnoredAny>>,
    /// `poststart`
    pub poststart: Option<Vec<IgnoredAny>>,
    /// `poststop`
    pub poststop: Option<Vec<IgnoredAny>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Spec, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn nulls_are_nothing_and_unknown_fields_are_ignored() {
        let spec = parse(
            r#"{"ociVersion":"1.2.0","mounts":null,"hooks":null,"vendor":{"x":[1]},"solaris":{},
                "process":{"user":{"username":"u"},"cwd":"/","args":null,"scheduler":null,"new":1},
                "linux":{"namespaces":null,"personality":null,"resources":{"rdma":{},"cpu":null}}}"#,
        )
        .expect("is a spec");
        assert!(spec.mounts.is_none() && spec.hooks.is_none());
        let process = spec.process.expect("is given");
        assert!(process.args.is_none() && process.scheduler.is_none());
        assert_eq!((process.user.uid, process.user.gid), (0, 0));
        let linux = spec.linux.expect("is given");
        assert!(linux.namespaces.is_none() && linux.personality.is_none());
        assert!(linux.resources.expect("is given").cpu.is_none());
    }

    #[test]
    fn what_is_refused_elsewhere_is_seen_whatever_it_holds() {
        let spec = parse(
            r#"{"hooks":{"poststop":[7]},"process":{"user":{},"cwd":"/","ioPriority":{"class":"?"}},
                "linux":{"intelRdt":{},"timeOffsets":{"boottime":{}}}}"#,
        )
        .expect("is a spec");
        let hooks = spec.hooks.expect("is given");
        assert_eq!(hooks.poststop.expect("is given").len(), 1);
        assert!(spec.process.expect("is given").io_priority.is_some());
        let linux = spec.linux.expect("is given");
        assert!(linux.intel_rdt.is_some());
        assert_eq!(linux.time_offsets.expect("is given").len(), 1);
    }

    #[test]
    fn what_is_missing_or_of_another_kind_is_refused_by_name() {
        for (json, name) in [
            (r#"{"process":{"cwd":"/"}}"#, "`user`"),
            (r#"{"process":{"user":{}}}"#, "`cwd`"),
            (r#"{"mounts":[{}]}"#, "`destination`"),
            (r#"{"linux":{"namespaces":[{"type":"mnt"}]}}"#, "`mnt`"),
            (r#"{"linux":{"devices":[{"path":"/d"}]}}"#, "`type`"),
            (r#"{"linux":{"seccomp":{}}}"#, "`defaultAction`"),
            (r#"{"linux":{"resources":{"cpu":{"shares":-1}}}}"#, "`-1`"),
            (r#"{"ociVersion":7}"#, "`7`"),
        ] {
            let message = parse(json).expect_err(json).to_string();
            assert!(message.contains(name), "{message}");
        }
    }
}
