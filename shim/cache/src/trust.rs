//! Opening directories and files that nobody but root can have written.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Write permission for group or others.
const SHARED_WRITE: u32 = 0o022;
/// In a directory with it, only owners remove and rename.
const STICKY: u32 = 0o1000;

/// Makes `path` where it is missing and makes sure that it, and each directory above it, is in the hands
/// of root (or, in tests, of the user who runs them).
pub(crate) fn directory(path: &Path) -> io::Result<OwnedFd> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    let path = fs::canonicalize(path)?;
    for (depth, directory) in path.ancestors().enumerate() {
        let metadata = fs::symlink_metadata(directory)?;
        let shared = metadata.mode() & SHARED_WRITE != 0;
        let sticky = depth > 0 && metadata.mode() & STICKY != 0;
        if !metadata.is_dir() || !ours(metadata.uid()) || shared && !sticky {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{} is owned by user {} with mode {:o}; it must be root's and not writable by others",
                    directory.display(),
                    metadata.uid(),
                    metadata.mode() & 0o7777,
                ),
            ));
        }
    }
    Ok(rustix::fs::open(
        &path,
        OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Makes and opens a directory inside one that [`directory`] has vouched for.
pub(crate) fn subdirectory(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let opened = rustix::fs::openat(
        &parent,
        name,
        OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    match trusted(&rustix::fs::fstat(&opened)?, FileType::Directory) {
        true => Ok(opened),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{name} is not root's alone"),
        )),
    }
}

/// Opens a file for reading; `None` if it is not there. One that is not root's own regular file is taken
/// away and not there either.
pub(crate) fn file(parent: impl AsFd, name: &str) -> io::Result<Option<(File, Stat)>> {
    let opened = match rustix::fs::openat(
        &parent,
        name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(None),
        // A symbolic link, a socket.
        Err(Errno::LOOP | Errno::NXIO) => {
            remove(parent, name)?;
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let stat = rustix::fs::fstat(&opened)?;
    if trusted(&stat, FileType::RegularFile) {
        Ok(Some((File::from(opened), stat)))
    } else {
        remove(parent, name)?;
        Ok(None)
    }
}

/// Removes a file, also when it is gone already. A directory in its place is left, and never used.
pub(crate) fn remove(parent: impl AsFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn trusted(stat: &Stat, kind: FileType) -> bool {
    // A second name may be anywhere, under an owner who can be made to write to it. No name at all is a file that was
    // replaced while it was opened.
    let names = kind == FileType::Directory || stat.st_nlink <= 1;
    names
        && FileType::from_raw_mode(stat.st_mode) == kind
        && ours(stat.st_uid)
        && stat.st_mode & SHARED_WRITE == 0
}

fn ours(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let open = root.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let message = directory(&open.join("cache")).unwrap_err().to_string();
        assert!(message.contains("not writable by others"), "{message}");
        assert!(directory(&root.path().join("closed/cache")).is_ok());
    }

    #[test]
    fn links_fifos_and_shared_files_are_not_there() {
        let root = tempfile::tempdir().unwrap();
        let parent = directory(root.path()).unwrap();
        fs::write(root.path().join("real"), "code").unwrap();
        symlink("real", root.path().join("link")).unwrap();
        fs::write(root.path().join("shared"), "code").unwrap();
        fs::set_permissions(
            root.path().join("shared"),
            fs::Permissions::from_mode(0o666),
        )
        .unwrap();
        rustix::fs::mkfifoat(&parent, "fifo", Mode::RWXU).unwrap();
        fs::write(root.path().join("twice"), "code").unwrap();
        fs::hard_link(root.path().join("twice"), root.path().join("other")).unwrap();

        assert!(file(&parent, "real").unwrap().is_some());
        for name in ["link", "shared", "fifo", "twice", "absent"] {
            assert!(file(&parent, name).unwrap().is_none(), "{name}");
            assert!(!root.path().join(name).exists(), "{name}");
        }
    }
}
