//! A bundle's `config.json`, read and parsed.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use slipway_shim_oci::{self as oci, LinuxResources};

use crate::SpecError;
use crate::namespaces::{self, PidNamespace};

/// The longest `config.json` that is read: containerd passes specs in gRPC messages of at most 16 MiB.
pub const MAX_SPEC_BYTES: u64 = 16 << 20;

/// What a container is in its pod (containerd `internal/cri/annotations`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerType {
    /// The pod's own container, "pause".
    Sandbox,
    /// A container of a pod.
    Container,
    /// Made without CRI, by `ctr` for instance: a container on its own.
    Single,
}

/// A parsed `config.json` and the bundle it came from.
#[derive(Debug, Clone)]
pub struct Spec {
    pub(crate) oci: oci::Spec,
    pub(crate) bundle: PathBuf,
}

const CONTAINER_TYPE: &str = "io.kubernetes.cri.container-type";
const SANDBOX_ID: &str = "io.kubernetes.cri.sandbox-id";

impl Spec {
    /// Reads `<bundle>/config.json`.
    ///
    /// # Errors
    /// [`SpecError`] when the file cannot be read, is too long, or is no runtime spec.
    pub fn load(bundle: &Path) -> Result<Self, SpecError> {
        let path = bundle.join("config.json");
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(MAX_SPEC_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|source| SpecError::Read {
                path: path.clone(),
                source,
            })?;
        if bytes.len() as u64 > MAX_SPEC_BYTES {
            return Err(SpecError::TooLong { path });
        }
        Self::parse(bundle, &bytes)
    }

    /// Parses the text of `<bundle>/config.json`.
    ///
    /// # Errors
    /// [`SpecError::Parse`] when it is no runtime spec.
    pub fn parse(bundle: &Path, json: &[u8]) -> Result<Self, SpecError> {
        let oci = serde_json::from_slice(json).map_err(|source| SpecError::Parse {
            path: bundle.join("config.json"),
            source,
        })?;
        Ok(Self {
            oci,
            bundle: bundle.to_owned(),
        })
    }

    /// The bundle.
    #[must_use]
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// The annotation with this key.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations()?.get(key).map(String::as_str)
    }

    /// All annotations, if there are any.
    #[must_use]
    pub fn annotations(&self) -> Option<&HashMap<String, String>> {
        self.oci.annotations.as_ref()
    }

    /// What the container is in its pod.
    #[must_use]
    pub fn container_type(&self) -> ContainerType {
        match self.annotation(CONTAINER_TYPE) {
            Some("sandbox") => ContainerType::Sandbox,
            Some("container") => ContainerType::Container,
            _ => ContainerType::Single,
        }
    }

    /// The id of the pod's sandbox.
    #[must_use]
    pub fn sandbox_id(&self) -> Option<&str> {
        self.annotation(SANDBOX_ID).filter(|id| !id.is_empty())
    }

    /// `linux.cgroupsPath`: `slice:prefix:name` for the systemd driver, else a path.
    #[must_use]
    pub fn cgroups_path(&self) -> Option<&Path> {
        let path = self.oci.linux.as_ref()?.cgroups_path.as_deref()?;
        (!path.as_os_str().is_empty()).then_some(path)
    }

    /// `linux.resources`.
    #[must_use]
    pub fn resources(&self) -> Option<&LinuxResources> {
        self.oci.linux.as_ref()?.resources.as_ref()
    }

    /// `process.terminal`.
    #[must_use]
    pub fn terminal(&self) -> bool {
        let process = self.oci.process.as_ref();
        process
            .and_then(|process| process.terminal)
            .unwrap_or(false)
    }

    /// `process.oomScoreAdj`.
    #[must_use]
    pub fn oom_score_adj(&self) -> Option<i32> {
        self.oci.process.as_ref()?.oom_score_adj
    }

    /// Which PID namespace the worker belongs in; the spawn has to see to it, since a process cannot change
    /// its own.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] when the entry is repeated or its path is not absolute.
    pub fn pid_namespace(&self) -> Result<PidNamespace, SpecError> {
        namespaces::pid(self.oci.linux.as_ref())
    }
}
