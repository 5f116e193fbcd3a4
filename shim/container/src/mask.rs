//! `linux.maskedPaths` and `linux.readonlyPaths`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, fstat, makedev};
use rustix::io::Errno;

use crate::SetupError;
use crate::error::While;
use crate::mount_api::{Attributes, attach, change, copy, copy_of, empty_directory};
use crate::root::Root;

/// Covers directories with an empty one and everything else with `/dev/null`. Paths that are not there need
/// no cover.
pub(crate) fn mask(root: &Root, paths: &[PathBuf]) -> Result<(), SetupError> {
    let mut cover = Cover::default();
    for path in paths {
        let action = || format!("mask {}", path.display());
        let place = match root.find(path) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            place => place.when(action)?,
        };
        if is_directory(&place).when(action)? {
            cover.directory(&place).when(action)?;
        } else {
            cover_file(&place).when(action)?;
        }
    }
    Ok(())
}

/// One empty directory in place, copied for every further use.
#[derive(Debug, Default)]
struct Cover(Option<OwnedFd>);

impl Cover {
    fn directory(&mut self, place: &OwnedFd) -> Result<(), Errno> {
        match &self.0 {
            Some(cover) => attach(copy_of(cover, false)?, place),
            None => {
                let cover = empty_directory()?;
                attach(&cover, place)?;
                self.0 = Some(cover);
                Ok(())
            }
        }
    }
}

/// The node's `/dev/null`, looked at closely: whatever else it were would be shown in the container
/// (CVE-2025-31133).
fn cover_file(place: &OwnedFd) -> Result<(), Errno> {
    let null = copy(Path::new("/dev/null"), false)?;
    let stat = fstat(&null)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice
        || stat.st_rdev != makedev(1, 3)
    {
        return Err(Errno::NXIO);
    }
    attach(null, place)
}

/// Mounts each path on itself, read-only.
pub(crate) fn make_read_only(root: &Root, paths: &[PathBuf]) -> Result<(), SetupError> {
    for path in paths {
        let action = || format!("make {} read-only", path.display());
        let place = match root.find(path) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            place => place.when(action)?,
        };
        let copy = copy_of(&place, true).when(action)?;
        attach(&copy, &place).when(action)?;
        change(copy.as_fd(), Attributes::READ_ONLY).when(action)?;
    }
    Ok(())
}

fn is_directory(place: &OwnedFd) -> Result<bool, Errno> {
    Ok(FileType::from_raw_mode(fstat(place)?.st_mode).is_dir())
}
