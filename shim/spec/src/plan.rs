//! Putting a plan together.

use std::path::{Path, PathBuf};

use slipway_shim_oci::{Linux, LinuxResources};
use slipway_shim_wire::{
    ANNOTATION_PREFIX, Capabilities, Limits, MAX_ANNOTATION_VALUE, MAX_ANNOTATIONS, NamespaceKind,
    Plan, Rootfs,
};

use crate::error::without_nul;
use crate::namespaces::{entered_by_worker, made};
use crate::{RootfsMount, Spec, SpecError};
use crate::{devices, mounts, process, refuse, seccomp, sysctl, user};

/// HOST_NAME_MAX (hostname(7)).
const MAX_HOSTNAME: usize = 64;

impl Spec {
    /// The plan of an application container: `rootfs` is where its root file system is or will be mounted,
    /// `rootfs_mounts` what containerd passed in `CreateTaskRequest.rootfs`.
    ///
    /// # Errors
    /// [`SpecError`] naming the field that is missing, wrong or not supported.
    pub fn plan(
        &self,
        id: &str,
        rootfs: &Path,
        rootfs_mounts: &[RootfsMount],
    ) -> Result<Plan, SpecError> {
        let mut plan = self.surroundings(id)?;
        let linux = self.linux()?;
        let Some(root) = &self.oci.root else {
            return Err(SpecError::Missing { field: "root" });
        };
        plan.rootfs = Rootfs {
            path: rootfs.to_owned(),
            mounts: mounts::of_rootfs(rootfs_mounts)?,
            readonly: root.readonly.unwrap_or(false),
            propagation: mounts::propagation(linux.rootfs_propagation.as_deref())?,
        };
        plan.mounts = mounts::of_spec(&self.bundle, self.oci.mounts.as_deref().unwrap_or(&[]))?;
        plan.devices = devices::translate(linux.devices.as_deref().unwrap_or_default())?;
        plan.masked_paths = paths("linux.maskedPaths", linux.masked_paths.as_deref())?;
        plan.readonly_paths = paths("linux.readonlyPaths", linux.readonly_paths.as_deref())?;
        plan.annotations = self.own_annotations();
        Ok(plan)
    }

    /// The annotations a worker is told about. They are not looked at here, but bounded.
    pub(crate) fn own_annotations(&self) -> Vec<(String, String)> {
        let mut own: Vec<_> = self
            .annotations()
            .into_iter()
            .flatten()
            .filter(|(name, _)| name.starts_with(ANNOTATION_PREFIX))
            .map(|(name, value)| {
                let end = value.floor_char_boundary(MAX_ANNOTATION_VALUE);
                (name.clone(), value[..end].to_owned())
            })
            .collect();
        own.sort_unstable();
        own.truncate(MAX_ANNOTATIONS);
        own
    }

    /// The plan of a pod's sandbox, which has no root file system of its own: namespaces, names, sysctls, ids
    /// and seccomp, nothing to mount. Its process has no files to work in and nothing to use a capability for.
    ///
    /// # Errors
    /// As [`Spec::plan`].
    pub fn sandbox_plan(&self, id: &str) -> Result<Plan, SpecError> {
        let mut plan = self.surroundings(id)?;
        plan.process.capabilities = Capabilities::default();
        plan.process.cwd = "/".into();
        Ok(plan)
    }

    /// What a sandbox and a container of it have alike.
    fn surroundings(&self, id: &str) -> Result<Plan, SpecError> {
        refuse::unsupported(&self.oci)?;
        let linux = self.linux()?;
        let namespaces = entered_by_worker(Some(linux))?;
        let own_names = made(&namespaces, NamespaceKind::Uts);
        let (seccomp, seccomp_flags) = match &linux.seccomp {
            Some(profile) => seccomp::compile(profile)?,
            None => (Vec::new(), 0),
        };
        let process = process::translate(self.oci.process.as_ref())?;
        let user_namespace = user::namespace(linux)?;
        if let Some(user) = &user_namespace {
            user::check(user, &process)?;
        }
        Ok(Plan {
            id: id.to_owned(),
            hostname: name("hostname", self.oci.hostname.as_deref(), own_names)?,
            domainname: name("domainname", self.oci.domainname.as_deref(), own_names)?,
            sysctls: sysctl::translate(linux.sysctl.as_ref(), &namespaces)?,
            namespaces,
            user_namespace,
            process,
            seccomp,
            seccomp_flags,
            limits: limits(linux.resources.as_ref()),
            ..Plan::default()
        })
    }

    fn linux(&self) -> Result<&Linux, SpecError> {
        let linux = self.oci.linux.as_ref();
        linux.ok_or(SpecError::Missing { field: "linux" })
    }
}

/// A name of the container's own UTS namespace. In a joined one it is the sandbox's to set, in the node's it
/// is nobody's.
fn name(field: &str, name: Option<&str>, own: bool) -> Result<Option<String>, SpecError> {
    let Some(name) = name.filter(|name| own && !name.is_empty()) else {
        return Ok(None);
    };
    without_nul(|| field.to_owned(), name)?;
    if name.len() > MAX_HOSTNAME {
        return Err(SpecError::invalid(
            field,
            format!("{} bytes long, more than {MAX_HOSTNAME}", name.len()),
        ));
    }
    Ok(Some(name.to_owned()))
}

fn paths(field: &str, paths: Option<&[String]>) -> Result<Vec<PathBuf>, SpecError> {
    let mut translated = Vec::new();
    for (index, path) in paths.unwrap_or_default().iter().enumerate() {
        without_nul(|| format!("{field}[{index}]"), path)?;
        if !path.starts_with('/') {
            return Err(SpecError::invalid(
                format!("{field}[{index}]"),
                format!("{path:?} is not an absolute path"),
            ));
        }
        translated.push(PathBuf::from(path));
    }
    Ok(translated)
}

fn limits(resources: Option<&LinuxResources>) -> Limits {
    let Some(resources) = resources else {
        return Limits::default();
    };
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let memory = resources.memory.as_ref();
    let cpu = resources.cpu.as_ref();
    // The kernel's default period is 100 ms (cpu.cfs_period_us).
    let period = cpu
        .and_then(|cpu| cpu.period)
        .filter(|period| *period > 0)
        .unwrap_or(100_000);
    let quota = cpu.and_then(|cpu| cpu.quota).and_then(positive);
    Limits {
        memory: memory.and_then(|memory| memory.limit).and_then(positive),
        milli_cpus: quota.map(|quota| quota.saturating_mul(1000) / period),
    }
}
