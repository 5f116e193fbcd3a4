//! What `-info` tells of the runtime (OCI runtime specification, `features.md`). containerd ≥ 2.0 offers user
//! namespaces and recursive read-only mounts to the kubelet for runtimes that name them here only
//! (`introspectRuntimeHandler` in `internal/cri/server/service.go`).

use crate::api::types::Any;

/// As containerd registers it (`core/runtime/typeurl.go`).
const TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

const FEATURES: &str = r#"{
"ociVersionMin":"1.0.0","ociVersionMax":"1.2.1",
"mountOptions":["async","atime","bind","defaults","dev","diratime","dirsync","exec","idmap","lazytime","mand","noatime",
"nodev","nodiratime","noexec","nolazytime","nomand","norelatime","nostrictatime","nosuid","nosymfollow","private",
"ratime","rbind","rdev","rdiratime","relatime","rexec","ridmap","rnoatime","rnodev","rnodiratime","rnoexec",
"rnorelatime","rnostrictatime","rnosuid","rnosymfollow","ro","rprivate","rrelatime","rro","rrw","rshared","rslave",
"rstrictatime","rsuid","rsymfollow","runbindable","rw","shared","silent","slave","strictatime","suid","symfollow","sync",
"unbindable"],
"linux":{
"namespaces":["cgroup","ipc","mount","network","pid","user","uts"],
"cgroup":{"v1":true,"v2":true,"systemd":true,"systemdUser":false,"rdma":false},
"seccomp":{"enabled":true,
"actions":["SCMP_ACT_ALLOW","SCMP_ACT_ERRNO","SCMP_ACT_KILL","SCMP_ACT_KILL_PROCESS","SCMP_ACT_KILL_THREAD",
"SCMP_ACT_LOG","SCMP_ACT_TRACE","SCMP_ACT_TRAP"],
"operators":["SCMP_CMP_EQ","SCMP_CMP_GE","SCMP_CMP_GT","SCMP_CMP_LE","SCMP_CMP_LT","SCMP_CMP_MASKED_EQ","SCMP_CMP_NE"],
"knownFlags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW","SECCOMP_FILTER_FLAG_TSYNC"],
"supportedFlags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW","SECCOMP_FILTER_FLAG_TSYNC"]},
"apparmor":{"enabled":true},"selinux":{"enabled":false},"intelRdt":{"enabled":false},
"mountExtensions":{"idmap":{"enabled":true}}}}"#;

/// The features as containerd reads them.
#[must_use]
pub fn features() -> Any {
    Any {
        type_url: TYPE.to_owned(),
        value: FEATURES.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containerd_finds_what_it_asks_for() {
        let features: serde_json::Value = serde_json::from_slice(&features().value).unwrap();
        let has = |list: &serde_json::Value, name: &str| {
            list.as_array()
                .is_some_and(|list| list.iter().any(|one| one == name))
        };
        assert!(has(&features["linux"]["namespaces"], "user"));
        assert!(has(&features["mountOptions"], "rro"));
        let idmap = &features["linux"]["mountExtensions"]["idmap"]["enabled"];
        assert_eq!(idmap, true);
    }
}
