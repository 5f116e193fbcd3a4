//! What `-info` tells of the runtime (OCI runtime specification, `features.md`). containerd ≥ 2.0 offers user
//! namespaces and recursive read-only mounts to the kubelet for runtimes that name them here only
//! (`introspectRuntimeHandler` in `internal/cri/server/service.go`).

use crate::api::types::Any;
use crate::options;

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

/// What makes the kubelet offer `hostUsers: false`, as it stands in [`FEATURES`].
const USERS: &str = r#""user","#;

/// The features as containerd reads them.
///
/// A handler that has options is not offered for pods with users of their own. For those containerd makes the container
/// with options of runc's, and fails if the handler's are others (`client/task.go` of 2.4, `getRuncOptions`); the kubelet
/// refuses such a pod with a sentence instead.
#[must_use]
pub fn features(options: Option<&Any>) -> Any {
    let features = match options::are_given(options) {
        true => FEATURES.replace(USERS, ""),
        false => FEATURES.to_owned(),
    };
    Any {
        type_url: TYPE.to_owned(),
        value: features.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: Option<&Any>) -> serde_json::Value {
        serde_json::from_slice(&features(options).value).unwrap()
    }

    fn has(list: &serde_json::Value, name: &str) -> bool {
        list.as_array()
            .is_some_and(|list| list.iter().any(|one| one == name))
    }

    #[test]
    fn containerd_finds_what_it_asks_for() {
        let features = read(None);
        assert!(has(&features["linux"]["namespaces"], "user"));
        assert!(has(&features["mountOptions"], "rro"));
        let idmap = &features["linux"]["mountExtensions"]["idmap"]["enabled"];
        assert_eq!(idmap, true);
    }

    #[test]
    fn users_are_not_offered_where_containerd_would_fail() {
        let options = |type_url: &str| Any {
            type_url: type_url.into(),
            value: vec![],
        };
        let namespaces = |type_url| {
            let mut features = read(Some(&options(type_url)));
            features["linux"]["namespaces"].take()
        };
        let left = namespaces("runtimeoptions.v1.Options");
        assert!(!has(&left, "user"));
        assert_eq!(left.as_array().unwrap().len(), 6, "and nothing else");
        // What it sends for a container of such a pod.
        assert!(has(&namespaces("containerd.runc.v1.Options"), "user"));
    }
}
