//! Validated settings, made once at start from the command line.

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{LocalObjectReference, ResourceRequirements, Toleration};
use serde::Deserialize;
use slipway_crds::{BUNDLED_SHIM, names};

use crate::args::{PullPolicy, RunArgs};

/// What the whole operator goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of Jobs, canary pods and the Lease.
    pub namespace: String,
    /// Who this process is among its replicas.
    pub identity: String,
    /// The shim to install and how.
    pub shim: ShimSettings,
    /// Take every fitting node.
    pub auto_provision: bool,
    /// How many nodes may be changed at a time.
    pub max_concurrent: usize,
    /// Work only while holding the Lease.
    pub leader_elect: bool,
    /// Address of probes and metrics.
    pub listen: SocketAddr,
}

/// The bundled shim: where it comes from, what it serves, and how its Jobs run.
#[derive(Clone, Debug)]
pub struct ShimSettings {
    /// Its name, in `NodeShim`s and node labels.
    pub name: String,
    /// Image that carries installer, shim and canary.
    pub image: String,
    /// Pull policy of that image.
    pub pull_policy: PullPolicy,
    /// Runtime handlers, each with a `RuntimeClass` of the same name.
    pub handlers: Vec<String>,
    /// Folder on the nodes for the shim's binaries.
    pub install_root: String,
    /// What else pods on nodes get.
    pub pod: PodSettings,
    /// How long a Job may take.
    pub job_deadline_seconds: u32,
    /// How long a finished Job is kept.
    pub job_ttl_seconds: u32,
}

impl ShimSettings {
    /// A hash of everything whose change means that nodes must be installed again.
    #[must_use]
    pub fn goal(&self) -> String {
        names::hash(
            &[
                &self.name,
                &self.image,
                &self.handlers.join(","),
                &self.install_root,
            ],
            16,
        )
    }
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
    /// A handler's name cannot be a `RuntimeClass`.
    #[error(
        "--handler {0:?}: want 1 to 40 of a-z, 0-9 and '-', beginning and ending with a letter or digit"
    )]
    Handler(String),
    /// A handler the node already gives a meaning.
    #[error("--handler {0:?}: this name belongs to the container runtime itself")]
    ReservedHandler(String),
    /// A handler was given twice.
    #[error("--handler {0:?} is given twice")]
    DuplicateHandler(String),
    /// No or too many handlers.
    #[error("{0} handlers: want 1 to 16")]
    HandlerCount(usize),
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
        Ok(Self {
            namespace,
            identity,
            auto_provision: args.auto_provision,
            max_concurrent: args.max_concurrent as usize,
            leader_elect: args.leader_elect,
            listen: args.listen,
            shim: ShimSettings {
                name: BUNDLED_SHIM.to_owned(),
                image: args.installer_image.trim().to_owned(),
                pull_policy: args.installer_pull_policy,
                handlers: check_handlers(args.handlers)?,
                install_root: check_root(args.install_root)?,
                pod: serde_json::from_str(&args.installer_pod)?,
                job_deadline_seconds: args.job_deadline_seconds,
                job_ttl_seconds: args.job_ttl_seconds,
            },
        })
    }
}

fn check_handlers(handlers: Vec<String>) -> Result<Vec<String>, Error> {
    if handlers.is_empty() || handlers.len() > 16 {
        return Err(Error::HandlerCount(handlers.len()));
    }
    for (index, handler) in handlers.iter().enumerate() {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = handler.as_bytes();
        let valid = (1..=40).contains(&bytes.len())
            && bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
            && bytes.first().copied().is_some_and(inner)
            && bytes.last().copied().is_some_and(inner);
        if !valid {
            return Err(Error::Handler(handler.clone()));
        }
        if matches!(handler.as_str(), "runc" | "crun" | "untrusted") {
            return Err(Error::ReservedHandler(handler.clone()));
        }
        if handlers[..index].contains(handler) {
            return Err(Error::DuplicateHandler(handler.clone()));
        }
    }
    Ok(handlers)
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
        shim: ShimSettings {
            name: BUNDLED_SHIM.into(),
            image: "slipway/node-installer:test".into(),
            pull_policy: PullPolicy::IfNotPresent,
            handlers: vec!["wasmtime".into()],
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
            Command::Crd => unreachable!("`run` was given"),
        }
    }

    #[test]
    fn bad_settings_are_named() {
        for (flag, says) in [
            ("--handler=Wasm", "--handler \"Wasm\""),
            ("--handler=-a", "--handler \"-a\""),
            ("--handler=runc", "belongs to the container runtime"),
            ("--handler=a,a", "given twice"),
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
    fn the_goal_follows_what_is_installed_only() {
        let base = settings(&[]).unwrap().shim.goal();
        assert_eq!(
            settings(&["--job-ttl-seconds=600"]).unwrap().shim.goal(),
            base
        );
        assert_ne!(settings(&["--handler=spin"]).unwrap().shim.goal(), base);
        assert_ne!(
            settings(&["--install-root=/var/x"]).unwrap().shim.goal(),
            base
        );
    }

    #[test]
    fn pod_settings_come_as_kubernetes_writes_them() {
        let json = r#"--installer-pod={"imagePullSecrets":[{"name":"s"}],"priorityClassName":"p","tolerations":[{"key":"k","operator":"Exists"}]}"#;
        let pod = settings(&[json]).unwrap().shim.pod;
        assert_eq!(pod.image_pull_secrets[0].name, "s");
        assert_eq!(pod.tolerations.unwrap().len(), 1);
    }

    #[test]
    fn a_trailing_slash_of_the_root_is_dropped() {
        assert_eq!(
            settings(&["--install-root=/opt/x/"])
                .unwrap()
                .shim
                .install_root,
            "/opt/x"
        );
    }
}
