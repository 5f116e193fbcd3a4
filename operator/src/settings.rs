//! Validated settings, made once at start from the command line.

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{EnvVar, LocalObjectReference, ResourceRequirements, Toleration};
use serde::Deserialize;
use slipway_crds::shim::PullPolicy;

use crate::args::RunArgs;

/// What the whole operator goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Lease and of the default `Shim`'s `ConfigMap`.
    pub namespace: String,
    /// Who this process is among its replicas.
    pub identity: String,
    /// How pods on nodes run.
    pub installer: InstallerSettings,
    /// `ConfigMap` that says what the default `Shim` is; none: there is no default.
    pub default_shim: Option<String>,
    /// Take every fitting node.
    pub auto_provision: bool,
    /// How many nodes may be changed at a time.
    pub max_concurrent: usize,
    /// Work only while holding the Lease.
    pub leader_elect: bool,
    /// Address of probes and metrics.
    pub listen: SocketAddr,
}

/// The installer: its image, and how its Jobs run.
#[derive(Clone, Debug)]
pub struct InstallerSettings {
    /// Namespace of Jobs and canary pods.
    pub namespace: String,
    /// Image that carries installer, bundled shim and canary.
    pub image: String,
    /// Pull policy of that image.
    pub pull_policy: PullPolicy,
    /// Folder on the nodes for the shims' binaries.
    pub install_root: String,
    /// What else pods on nodes get.
    pub pod: PodSettings,
    /// How long a Job may take.
    pub job_deadline_seconds: u32,
    /// How long a finished Job is kept.
    pub job_ttl_seconds: u32,
}

/// What installer and canary pods get beyond what they need.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodSettings {
    /// Secrets to pull the image with.
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Taints to live with; none given means all.
    pub tolerations: Option<Vec<Toleration>>,
    /// Priority class.
    pub priority_class_name: String,
    /// Resources of the installer's container.
    pub resources: Option<ResourceRequirements>,
    /// Labels of the pods.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods.
    pub annotations: BTreeMap<String, String>,
    /// Environment of what fetches shims from URLs, a proxy's for instance.
    pub fetch_env: Vec<EnvVar>,
    /// `ConfigMap` whose key `ca.crt` holds the certificates that a server of shims is checked with.
    pub fetch_ca: String,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No namespace was given.
    #[error("no namespace: give --namespace or set CONTROLLER_NAMESPACE or POD_NAMESPACE")]
    NoNamespace,
    /// No identity was given and the host has no name.
    #[error("no identity: give --identity or set POD_NAME")]
    NoIdentity,
    /// No image was given.
    #[error("--installer-image is empty: name the installer image")]
    NoImage,
    /// The install root is no clean absolute path.
    #[error("--install-root {0:?}: want an absolute path without '..', not '/'")]
    InstallRoot(String),
    /// The pod settings are not what was expected.
    #[error("--installer-pod: {0}")]
    Pod(#[from] serde_json::Error),
}

impl Settings {
    /// Checks what the command line gave.
    ///
    /// # Errors
    /// With the one setting that cannot be used, and what was expected.
    pub fn from_args(args: RunArgs) -> Result<Self, Error> {
        let namespace = args
            .namespace
            .or_else(|| env::var("POD_NAMESPACE").ok())
            .filter(|name| !name.is_empty())
            .ok_or(Error::NoNamespace)?;
        let identity = args
            .identity
            .or_else(|| env::var("HOSTNAME").ok())
            .filter(|name| !name.is_empty())
            .ok_or(Error::NoIdentity)?;
        if args.installer_image.trim().is_empty() {
            return Err(Error::NoImage);
        }
        let own = args.installer_namespace.filter(|name| !name.is_empty());
        let installer_namespace = own.unwrap_or_else(|| namespace.clone());
        Ok(Self {
            namespace,
            identity,
            auto_provision: args.auto_provision,
            max_concurrent: args.max_concurrent as usize,
            leader_elect: args.leader_elect,
            listen: args.listen,
            default_shim: args.default_shim.filter(|name| !name.is_empty()),
            installer: InstallerSettings {
                namespace: installer_namespace,
                image: args.installer_image.trim().to_owned(),
                pull_policy: args.installer_pull_policy,
                install_root: check_root(args.install_root)?,
                pod: serde_json::from_str(&args.installer_pod)?,
                job_deadline_seconds: args.job_deadline_seconds,
                job_ttl_seconds: args.job_ttl_seconds,
            },
        })
    }
}

fn check_root(root: String) -> Result<String, Error> {
    let trimmed = root.trim_end_matches('/');
    let clean = trimmed.starts_with('/')
        && trimmed.len() <= 256
        && trimmed[1..].split('/').all(|part| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|b| b.is_ascii_graphic())
        });
    if clean {
        Ok(trimmed.to_owned())
    } else {
        Err(Error::InstallRoot(root))
    }
}

/// Settings for tests.
#[cfg(test)]
pub(crate) fn test_settings() -> Settings {
    Settings {
        namespace: "kwasm".into(),
        identity: "test".into(),
        auto_provision: false,
        max_concurrent: 1,
        leader_elect: false,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        default_shim: None,
        installer: InstallerSettings {
            namespace: "kwasm".into(),
            image: "slipway/node-installer:test".into(),
            pull_policy: PullPolicy::IfNotPresent,
            install_root: "/opt/slipway".into(),
            pod: PodSettings::default(),
            job_deadline_seconds: 600,
            job_ttl_seconds: 3600,
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    fn settings(extra: &[&str]) -> Result<Settings, Error> {
        let mut argv = vec![
            "slipway-operator",
            "run",
            "--namespace=kwasm",
            "--identity=me",
            "--installer-image=i:1",
        ];
        argv.extend(extra);
        match Args::try_parse_from(argv).unwrap().command {
            Command::Run(args) => Settings::from_args(*args),
            _ => unreachable!("`run` was given"),
        }
    }

    #[test]
    fn bad_settings_are_named() {
        for (flag, says) in [
            ("--install-root=opt", "--install-root \"opt\""),
            ("--install-root=/a/../b", "without '..'"),
            ("--install-root=/", "not '/'"),
            (
                "--installer-pod={\"tolerationz\":[]}",
                "unknown field `tolerationz`",
            ),
            ("--installer-pod=[", "--installer-pod"),
        ] {
            let error = settings(&[flag]).unwrap_err().to_string();
            assert!(error.contains(says), "{flag}: {error}");
        }
    }

    #[test]
    fn installers_have_the_operators_namespace_or_one_of_their_own() {
        for (flag, wanted) in [
            ("--installer-namespace=", "kwasm"),
            ("--installer-namespace=nodes", "nodes"),
        ] {
            let settings = settings(&[flag]).unwrap();
            assert_eq!(settings.installer.namespace, wanted);
            assert_eq!(settings.namespace, "kwasm");
        }
    }

    #[test]
    fn pod_settings_come_as_kubernetes_writes_them() {
        let json = r#"--installer-pod={"imagePullSecrets":[{"name":"s"}],"priorityClassName":"p","tolerations":[{"key":"k","operator":"Exists"}]}"#;
        let pod = settings(&[json]).unwrap().installer.pod;
        assert_eq!(pod.image_pull_secrets[0].name, "s");
        assert_eq!(pod.tolerations.unwrap().len(), 1);
    }

    #[test]
    fn a_trailing_slash_of_the_root_is_dropped() {
        assert_eq!(
            settings(&["--install-root=/opt/x/"])
                .unwrap()
                .installer
                .install_root,
            "/opt/x"
        );
    }
}
