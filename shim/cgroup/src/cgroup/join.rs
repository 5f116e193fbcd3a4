//! More processes in a cgroup that stands.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

use super::{Cgroup, Error};
use crate::file::{self, FileError};
use crate::hierarchy::Version;

impl Cgroup {
    /// On v2 the cgroup's directory, for `CLONE_INTO_CGROUP`: a process that is born in it need not be moved.
    pub fn directory(&self) -> Result<Option<OwnedFd>, Error> {
        if self.version == Version::V1 {
            return Ok(None);
        }
        let path = &self.main_dir().path;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| FileError::new("open", path, errno))?;
        Ok(Some(directory))
    }

    /// Moves a process in beside those that are there. Hierarchies in which the container has no directory, such as
    /// systemd's own v2 one on a hybrid host, are passed over.
    pub fn join(&self, pid: u32) -> Result<(), Error> {
        for dir in self.dirs.iter().filter(|dir| dir.path.is_dir()) {
            file::write(&dir.path.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }
}
