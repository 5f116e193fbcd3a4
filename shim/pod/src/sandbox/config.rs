//! From CRI's configuration of a pod to an OCI specification of its sandbox, as CRI itself writes one for the pause
//! container (`sandboxContainerSpec` in `internal/cri/server/podsandbox/sandbox_run_linux.go`, containerd 2.4).

use std::path::Path;

use prost::Message;
use serde_json::{Value, json};

use crate::api::cri::{NamespaceMode, NamespaceOption, PodSandboxConfig};
use crate::api::types::Any;

/// What is known of a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// CRI's.
    pub pod: PodSandboxConfig,
    /// Its network namespace, unless it is the node's.
    pub netns: Option<String>,
}

/// A pod that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not what its type says.
    #[error("options of the sandbox: {0}")]
    Decode(#[from] prost::DecodeError),
    /// Mapped ids.
    #[error(
        "a user namespace of its own (hostUsers: false) is not supported with sandboxer \"shim\"; use sandboxer \"podsandbox\""
    )]
    Users,
}

impl Config {
    /// Reads what `CreateSandbox` brings. Without CRI's configuration a pod has namespaces of its own.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn read(options: Option<&Any>, netns: &str) -> Result<Self, ConfigError> {
        let cri = options.filter(|any| any.type_url.ends_with("PodSandboxConfig"));
        let pod = cri.map_or_else(
            || Ok(PodSandboxConfig::default()),
            |any| PodSandboxConfig::decode(any.value.as_slice()),
        )?;
        let config = Self {
            pod,
            netns: (!netns.is_empty()).then(|| netns.to_owned()),
        };
        let users = config.namespaces().userns_options;
        if users.is_some_and(|users| users.mode() == NamespaceMode::Pod) {
            return Err(ConfigError::Users);
        }
        Ok(config)
    }

    fn namespaces(&self) -> NamespaceOption {
        let linux = self.pod.linux.as_ref();
        let security = linux.and_then(|linux| linux.security_context.as_ref());
        security
            .and_then(|security| security.namespace_options.clone())
            .unwrap_or(NamespaceOption {
                pid: NamespaceMode::Container.into(),
                ..NamespaceOption::default()
            })
    }

    /// Whether its containers share their processes, which takes a PID 1.
    #[must_use]
    pub fn shares_processes(&self) -> bool {
        self.namespaces().pid() == NamespaceMode::Pod
    }

    /// Whether it has the node's shared memory.
    #[must_use]
    pub fn has_nodes_ipc(&self) -> bool {
        self.namespaces().ipc() == NamespaceMode::Node
    }

    /// Whether the cgroups of its containers are systemd's scopes.
    #[must_use]
    pub fn has_scopes(&self) -> bool {
        let linux = self.pod.linux.as_ref();
        linux.is_some_and(|linux| slice(&linux.cgroup_parent).is_some())
    }

    /// The specification of a container that holds its namespaces.
    #[must_use]
    pub fn spec(&self, id: &str) -> Value {
        let options = self.namespaces();
        let own_network = options.network() != NamespaceMode::Node;
        let mut namespaces = vec![json!({"type": "mount"})];
        if self.shares_processes() {
            namespaces.push(json!({"type": "pid"}));
        }
        if !self.has_nodes_ipc() {
            namespaces.push(json!({"type": "ipc"}));
        }
        if own_network {
            namespaces.push(json!({"type": "uts"}));
            namespaces.push(match &self.netns {
                Some(path) => json!({"type": "network", "path": path}),
                None => json!({"type": "network"}),
            });
        }
        let linux = self.pod.linux.clone().unwrap_or_default();
        let mut sysctl = linux.sysctls;
        if own_network {
            // CRI's `enable_unprivileged_ports` and `enable_unprivileged_icmp`, both on by default in containerd 2.
            for (name, value) in [
                ("net.ipv4.ip_unprivileged_port_start", "0"),
                ("net.ipv4.ping_group_range", "0 2147483647"),
            ] {
                sysctl
                    .entry(name.to_owned())
                    .or_insert_with(|| value.to_owned());
            }
        }
        let mut spec = json!({
            "ociVersion": "1.1.0",
            // As the pause image has it.
            "process": {
                "args": ["/pause"], "cwd": "/", "user": {"uid": 65535, "gid": 65535}, "noNewPrivileges": true
            },
            "root": {"path": "rootfs", "readonly": true},
            "annotations": {
                "io.kubernetes.cri.container-type": "sandbox",
                "io.kubernetes.cri.sandbox-id": id,
            },
            "linux": {"namespaces": namespaces, "sysctl": sysctl, "resources": {"cpu": {"shares": 2}}},
        });
        if !self.pod.hostname.is_empty() {
            spec["hostname"] = self.pod.hostname.clone().into();
        }
        if !linux.cgroup_parent.is_empty() {
            spec["linux"]["cgroupsPath"] = cgroups_path(&linux.cgroup_parent, id).into();
        }
        spec
    }
}

/// The name of the pod's slice, if that is what its parent is: then systemd keeps the pod's cgroups.
fn slice(parent: &str) -> Option<&str> {
    let name = Path::new(parent).file_name().and_then(|name| name.to_str());
    name.filter(|name| name.ends_with(".slice"))
}

/// `getCgroupsPath` of CRI.
fn cgroups_path(parent: &str, id: &str) -> String {
    match slice(parent) {
        Some(slice) => format!("{slice}:cri-containerd:{id}"),
        None => format!("{}/{id}", parent.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::cri::{LinuxPodSandboxConfig, LinuxSandboxSecurityContext, UserNamespace};

    fn any(change: impl FnOnce(&mut PodSandboxConfig, &mut NamespaceOption)) -> Any {
        // The kubelet's defaults.
        let mut options = NamespaceOption {
            pid: NamespaceMode::Container.into(),
            ..NamespaceOption::default()
        };
        let mut pod = PodSandboxConfig::default();
        pod.linux.get_or_insert_default().cgroup_parent = "/kubepods/pod1".into();
        change(&mut pod, &mut options);
        let linux = pod.linux.get_or_insert_with(LinuxPodSandboxConfig::default);
        linux.security_context = Some(LinuxSandboxSecurityContext {
            namespace_options: Some(options),
        });
        Any {
            type_url: "runtime.v1.PodSandboxConfig".into(),
            value: pod.encode_to_vec(),
        }
    }

    fn kinds(spec: &Value) -> Vec<&str> {
        let namespaces = spec["linux"]["namespaces"].as_array().unwrap();
        namespaces
            .iter()
            .map(|namespace| namespace["type"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn an_ordinary_pod_has_its_own_names_network_and_ipc() {
        let options = any(|pod, _| {
            pod.hostname = "pod-1".into();
            let linux = pod.linux.get_or_insert_default();
            linux
                .sysctls
                .insert("kernel.shm_rmid_forced".into(), "1".into());
        });
        let config = Config::read(Some(&options), "/run/netns/a").unwrap();
        assert!(!config.shares_processes());
        let spec = config.spec("abc");
        assert_eq!(kinds(&spec), ["mount", "ipc", "uts", "network"]);
        assert_eq!(spec["linux"]["namespaces"][3]["path"], "/run/netns/a");
        assert_eq!(spec["hostname"], "pod-1");
        assert_eq!(spec["linux"]["cgroupsPath"], "/kubepods/pod1/abc");
        assert!(!config.has_scopes());
        assert_eq!(spec["linux"]["sysctl"]["kernel.shm_rmid_forced"], "1");
        let ports = &spec["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"];
        assert_eq!(ports, "0");
    }

    #[test]
    fn the_nodes_namespaces_are_left_alone() {
        let options = any(|pod, options| {
            let node = NamespaceMode::Node.into();
            (options.network, options.pid, options.ipc) = (node, node, node);
            let linux = pod.linux.get_or_insert_default();
            linux.cgroup_parent = "/kubepods.slice/kubepods-pod1.slice".into();
        });
        let config = Config::read(Some(&options), "").unwrap();
        assert!(config.has_nodes_ipc() && !config.shares_processes());
        assert!(config.has_scopes());
        let spec = config.spec("abc");
        assert_eq!(kinds(&spec), ["mount"]);
        let path = &spec["linux"]["cgroupsPath"];
        assert_eq!(path, "kubepods-pod1.slice:cri-containerd:abc");
        assert!(spec["linux"]["sysctl"].as_object().unwrap().is_empty());
    }

    #[test]
    fn shared_processes_take_a_namespace_and_mapped_users_are_refused() {
        let options = any(|_, options| options.pid = NamespaceMode::Pod.into());
        let config = Config::read(Some(&options), "/run/netns/a").unwrap();
        assert!(config.shares_processes());
        assert!(kinds(&config.spec("abc")).contains(&"pid"));

        let options = any(|_, options| {
            options.userns_options = Some(UserNamespace {
                mode: NamespaceMode::Pod.into(),
            });
        });
        let refused = Config::read(Some(&options), "");
        assert!(matches!(refused, Err(ConfigError::Users)));
        let torn = Any {
            type_url: "runtime.v1.PodSandboxConfig".into(),
            value: vec![0x12, 0x7f],
        };
        assert!(matches!(
            Config::read(Some(&torn), ""),
            Err(ConfigError::Decode(_))
        ));
    }
}
