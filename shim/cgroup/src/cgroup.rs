//! The cgroup of one container.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use thiserror::Error;

use crate::file::{self, FileError};
use crate::freezer;
use crate::hierarchy::{Hierarchies, HierarchyError, Version};
use crate::oom::OomWatch;
use crate::path::{CgroupsPath, PathError, Scope};
use crate::placement::Placement;
use crate::removal;
use crate::resources::{Resources, ResourcesError};
use crate::stats::{self, Stats};
use crate::systemd::{SystemdConnection, SystemdError, UnitJob, limits, scope};

mod join;
mod settings;
mod v1;
mod v2;

use settings::Setting;

/// What can go wrong with a cgroup.
#[derive(Debug, Error)]
pub enum Error {
    /// `cgroupsPath` is not one.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The host's hierarchies were not found.
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    /// A limit makes no sense.
    #[error(transparent)]
    Resources(#[from] ResourcesError),
    /// A limit makes no sense together with another, or on this host.
    #[error("linux.resources: {0}")]
    Unsupported(String),
    /// A file of the cgroup.
    #[error(transparent)]
    File(#[from] FileError),
    /// systemd.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// It would not freeze.
    #[error("{path} is still not {state}")]
    Freezer {
        /// The freezer's directory.
        path: String,
        /// The state wanted.
        state: &'static str,
    },
    /// It still holds processes.
    #[error("{path} cannot be removed: still busy after {millis} ms")]
    Busy {
        /// The directory left.
        path: String,
        /// How long it was tried.
        millis: u128,
    },
}

/// The cgroup of a container: a directory in each hierarchy, and perhaps a scope of systemd's.
///
/// Making the value touches nothing; cloning it is cheap enough for one a container.
#[derive(Debug, Clone)]
pub struct Cgroup {
    version: Version,
    scope: Option<Scope>,
    dirs: Vec<Dir>,
}

/// The cgroup's directory in one hierarchy.
#[derive(Debug, Clone)]
pub(crate) struct Dir {
    pub(crate) controllers: Vec<String>,
    pub(crate) mount: PathBuf,
    pub(crate) path: PathBuf,
}

impl Dir {
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

impl Cgroup {
    /// Where `cgroupsPath` leads on this host.
    pub fn open(cgroups_path: &str) -> Result<Self, Error> {
        let path = CgroupsPath::parse(cgroups_path)?;
        Ok(Self::new(&Hierarchies::detect()?, path))
    }

    /// Where a parsed path leads in known hierarchies.
    pub fn new(hierarchies: &Hierarchies, path: CgroupsPath) -> Self {
        let relative = path.relative();
        let dir = |mount: &crate::hierarchy::Mount| Dir {
            controllers: mount.controllers.clone(),
            mount: mount.point.clone(),
            path: mount.point.join(&relative),
        };
        let scope = match path {
            CgroupsPath::Systemd(scope) => Some(scope),
            CgroupsPath::Cgroupfs(_) => None,
        };
        Self {
            version: hierarchies.version,
            scope,
            dirs: hierarchies.mounts.iter().map(dir).collect(),
        }
    }

    /// The version, which decides the type of the statistics.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The scope's name, if systemd keeps this cgroup.
    pub fn unit(&self) -> Option<&str> {
        self.scope.as_ref().map(|scope| scope.unit.as_str())
    }

    /// On v2 without systemd: makes the cgroup with its limits and gives its directory, for `CLONE_INTO_CGROUP`.
    /// Elsewhere a process can only be moved in once it runs ([`Cgroup::place`]).
    pub fn prepare(&self, resources: &Resources) -> Result<Option<OwnedFd>, Error> {
        if self.version == Version::V1 || self.scope.is_some() {
            return Ok(None);
        }
        let dir = self.main_dir();
        v2::create(dir)?;
        self.write_limits(resources)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&dir.path, flags, Mode::empty())
            .map_err(|errno| FileError::new("open", &dir.path, errno))?;
        Ok(Some(fd))
    }

    /// Puts a process in, with its limits. Without systemd that is done on return; with systemd the scope is asked for
    /// and the [`Placement`] says when it is there. The process should be waiting for its work meanwhile. `ahead` is used if
    /// systemd is asked.
    pub fn place(
        &self,
        pid: u32,
        resources: &Resources,
        ahead: Option<SystemdConnection>,
    ) -> Result<Placement, Error> {
        let Some(scope) = &self.scope else {
            self.settle(pid, resources)?;
            return Ok(Placement::done());
        };
        let resources = resources.rounded_for_systemd();
        self.check(&resources)?;
        // The request first: systemd works while we write.
        let properties = self.scope_properties(scope, pid, &resources);
        let job = UnitJob::start(&scope.unit, properties, ahead)?;
        if self.version == Version::V1 {
            v1::join(
                self.dirs.iter().filter(|dir| !v1::is_systemds(dir)),
                pid,
                &resources,
            )?;
        }
        Ok(Placement::under_way(self.clone(), pid, resources, job))
    }

    fn scope_properties(
        &self,
        of: &Scope,
        pid: u32,
        resources: &Resources,
    ) -> Vec<crate::systemd::Property> {
        scope(&of.slice, pid, self.version, resources)
    }

    /// The part of placing that is done with files: all of it without systemd, what is left over with it.
    pub(crate) fn settle(&self, pid: u32, resources: &Resources) -> Result<(), Error> {
        match self.version {
            Version::V1 => {
                let ours = self
                    .dirs
                    .iter()
                    .filter(|dir| self.scope.is_none() || !dir.has(v1::NAMED_SYSTEMD));
                let ours = ours.filter(|dir| self.scope.is_none() || !dir.controllers.is_empty());
                v1::make(ours.clone(), resources)?;
                self.write_limits(resources)?;
                v1::restrict_devices(self.dir("devices"), &resources.devices)?;
                v1::join(ours, pid, resources)?;
            }
            Version::V2 => {
                let dir = self.main_dir();
                v2::create(dir)?;
                self.write_limits(resources)?;
                if self.scope.is_none() {
                    file::write(&dir.path.join("cgroup.procs"), &pid.to_string())?;
                }
            }
        }
        Ok(())
    }

    /// Sets new limits. With systemd the job tells it to keep them over a daemon-reload; they hold already.
    pub fn update(&self, resources: &Resources) -> Result<Option<UnitJob>, Error> {
        let Some(scope) = &self.scope else {
            self.check(resources)?;
            self.write_limits(resources)?;
            return Ok(None);
        };
        let resources = resources.rounded_for_systemd();
        self.check(&resources)?;
        self.write_limits(&resources)?;
        let properties = limits(self.version, &resources);
        if properties.is_empty() {
            return Ok(None);
        }
        Ok(Some(UnitJob::set(&scope.unit, properties)?))
    }

    /// Every process inside; none if the cgroup is gone.
    pub fn pids(&self) -> Result<Vec<u32>, Error> {
        Ok(file::processes(&self.main_dir().path)?)
    }

    /// What the kernel counted.
    pub fn stats(&self) -> Result<Stats, Error> {
        Ok(match self.version {
            Version::V1 => Stats::V1(Box::new(stats::v1::read(|controller| {
                self.dir(controller)
            })?)),
            Version::V2 => Stats::V2(Box::new(stats::v2::read(&self.main_dir().path)?)),
        })
    }

    /// Stops every process inside.
    pub fn freeze(&self) -> Result<(), Error> {
        freezer::set(self.version, self.freezer_dir()?, true)
    }

    /// Lets them go on.
    pub fn thaw(&self) -> Result<(), Error> {
        freezer::set(self.version, self.freezer_dir()?, false)
    }

    fn freezer_dir(&self) -> Result<&Path, Error> {
        self.dir("freezer")
            .ok_or_else(|| Error::Unsupported("this host has no freezer cgroup".to_owned()))
    }

    /// The file that holds the memory limit, for reading it again after an update: whoever has it open needs no way
    /// to the cgroup. `None` where the host limits no memory.
    pub fn memory_limit(&self) -> Result<Option<File>, Error> {
        let Some(dir) = self.dir("memory") else {
            return Ok(None);
        };
        let path = dir.join(match self.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        });
        match File::open(&path).map_err(|error| FileError::new("open", &path, error)) {
            Ok(file) => Ok(Some(file)),
            // v2 without the memory controller.
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Watches for OOM kills. To be called once the placement is done.
    pub fn watch_oom(&self) -> Result<OomWatch, Error> {
        let dir = self.dir("memory").ok_or_else(|| {
            Error::Unsupported("this host has no memory cgroup to watch for OOM kills".to_owned())
        })?;
        Ok(OomWatch::new(self.version, dir)?)
    }

    /// Kills every process inside, frozen ones too; how many there were.
    pub fn kill(&self) -> Result<usize, Error> {
        let mut killed = 0;
        for dir in &self.dirs {
            killed = killed.max(removal::kill(&dir.path)?);
        }
        // v1 delivers SIGKILL to a frozen process only when it thaws (cgroup-v1/freezer-subsystem.rst).
        if self.version == Version::V1
            && killed > 0
            && self.dir("freezer").is_some_and(Path::exists)
        {
            self.thaw()?;
        }
        Ok(killed)
    }

    /// Removes the directories, those below first. A cgroup still holding processes is tried again for at most
    /// `patience`; kill them first. Gone already is fine.
    pub fn remove(&self, patience: Duration) -> Result<(), Error> {
        removal::remove(self.dirs.iter().map(|dir| dir.path.as_path()), patience)
    }

    /// Tells systemd to stop and forget the scope; it would by itself, except inside a container on v1, where the
    /// kernel does not tell it that the scope is empty. Await the job before exiting. `None` without systemd.
    pub fn release(&self) -> Result<Option<UnitJob>, Error> {
        Ok(self.unit().map(UnitJob::stop).transpose()?)
    }

    /// The directory a controller's files are in; on v2 always the same.
    pub(crate) fn dir(&self, controller: &str) -> Option<&Path> {
        match self.version {
            Version::V2 => self.dirs.first(),
            Version::V1 => self.dirs.iter().find(|dir| dir.has(controller)),
        }
        .map(|dir| dir.path.as_path())
    }

    /// The directory asked for processes: any hierarchy that is always joined will do, and runc takes `devices`.
    fn main_dir(&self) -> &Dir {
        let devices = self
            .dirs
            .iter()
            .find(|dir| self.version == Version::V2 || dir.has("devices"));
        devices.unwrap_or_else(|| {
            self.dirs
                .first()
                .expect("a host without any hierarchy is refused by detect()")
        })
    }

    fn settings(&self, resources: &Resources) -> Result<Vec<Setting>, Error> {
        let settings = match self.version {
            Version::V1 => settings::v1(resources),
            Version::V2 => settings::v2(resources),
        };
        settings.map_err(|reason| Error::Unsupported(reason.to_owned()))
    }

    /// Refuses what cannot be set before anything is asked of systemd.
    fn check(&self, resources: &Resources) -> Result<(), Error> {
        self.settings(resources).map(drop)
    }

    fn write_limits(&self, resources: &Resources) -> Result<(), Error> {
        settings::write(&self.settings(resources)?, |controller| {
            self.dir(controller)
        })
    }
}

#[cfg(test)]
mod tests;
