//! Reading and writing host files: bounded reads, writes that are whole or not there.
//!
//! Every function takes a local path without symbolic links.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, IFlags, StatxAttributes, StatxFlags};
use serde::{Deserialize, Serialize};

use crate::failure::Reason;

/// No configuration file of a node is larger; a bound, so that a device or a log there cannot fill our memory.
pub const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// What a file carries besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes (SELinux labels, above all), values in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<(String, String)>,
}

impl Attributes {
    /// Of a file made by us.
    pub fn ours() -> Self {
        Self {
            mode: 0o644,
            uid: 0,
            gid: 0,
            xattrs: Vec::new(),
        }
    }
}

/// Why a host file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// An operation on a file.
    #[error("cannot {verb} {path}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The local path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Not something we replace.
    #[error("{path} is not a regular file")]
    NotRegular {
        /// The local path.
        path: PathBuf,
    },
    /// Larger than the bound.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The local path.
        path: PathBuf,
        /// The bound.
        limit: u64,
    },
    /// The file can be read but not replaced.
    #[error("{path} cannot be changed: {why}")]
    ReadOnly {
        /// The local path.
        path: PathBuf,
        /// In words.
        why: String,
    },
}

impl Reason for FileError {
    fn reason(&self) -> &'static str {
        match self {
            Self::ReadOnly { .. } => "ConfigReadOnly",
            Self::TooLarge { .. } | Self::NotRegular { .. } => "ConfigUnreadable",
            error if error.is_full() => "DiskFull",
            Self::Io { .. } => "HostFileError",
        }
    }
}

impl FileError {
    /// Whether the file system has no room, or the user none on it.
    pub fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if full.contains(&source.kind()))
    }
}

pub(crate) fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io {
        verb,
        path,
        source: plain(source),
    }
}

/// The operating system's error without the name of the temporary file that `tempfile` wraps around it.
fn plain(error: io::Error) -> io::Error {
    error
        .get_ref()
        .and_then(|wrapper| wrapper.source())
        .and_then(|inner| inner.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error)
        .map_or(error, io::Error::from_raw_os_error)
}

/// A file's bytes and attributes, or `None` if there is none.
pub fn read(path: &Path, limit: u64) -> Result<Option<(Vec<u8>, Attributes)>, FileError> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", path)(error)),
    };
    if !meta.is_file() {
        return Err(FileError::NotRegular {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io_error("open", path))?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(io_error("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    let attributes = Attributes {
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        xattrs: read_xattrs(path)?,
    };
    Ok(Some((bytes, attributes)))
}

/// Replaces a file, or makes it: temporary file in the same folder, fsync, rename, fsync of the folder. After a power
/// cut the old bytes are there or the new ones, never a part.
pub fn write_atomic(path: &Path, bytes: &[u8], attributes: &Attributes) -> Result<(), FileError> {
    write_through(parent(path), path, bytes, attributes)
}

/// The same, with the temporary file in another folder of the same file system.
pub fn write_through(
    folder: &Path,
    path: &Path,
    bytes: &[u8],
    attributes: &Attributes,
) -> Result<(), FileError> {
    // The name must not end in `.toml`: containerd's import globs also match names that begin with a dot
    // (Go's path/filepath.Match), and a reload between two steps would load it.
    let mut temp = tempfile::Builder::new()
        .prefix(".slipway-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(io_error("create a file in", folder))?;
    temp.write_all(bytes)
        .map_err(io_error("write", temp.path()))?;
    let file = temp.as_file();
    if rustix::process::geteuid().is_root() {
        fchown(file, Some(attributes.uid), Some(attributes.gid))
            .map_err(io_error("change the owner of", path))?;
    }
    file.set_permissions(fs::Permissions::from_mode(attributes.mode))
        .map_err(io_error("change the mode of", path))?;
    write_xattrs(temp.path(), &attributes.xattrs)?;
    temp.as_file().sync_all().map_err(io_error("sync", path))?;
    temp.persist(path)
        .map_err(|error| io_error("replace", path)(error.error))?;
    sync_folder(parent(path))
}

/// Removes a file; that it is not there is success.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(parent(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("remove", path)(error)),
    }
}

/// Makes the folders that are missing, and returns those made, outermost first.
pub fn create_folders(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|folder| !folder.exists())
        .collect();
    let mut made = Vec::new();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Ok(()) => {
                sync_folder(parent(folder))?;
                made.push(folder.to_owned());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error("create the folder", folder)(error)),
        }
    }
    Ok(made)
}

/// Removes a folder if nothing is in it. A link that stands there by now, or a mount, is somebody's arrangement, and stays.
pub fn remove_folder_if_empty(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir(path) {
        Ok(()) => sync_folder(parent(path)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::ResourceBusy
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(io_error("remove the folder", path)(error)),
    }
}

/// Removes temporary files that a killed run left in a folder.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".slipway-") && name.ends_with(".tmp") {
            // What cannot be removed now is tried again by the next run.
            let _ = match entry.file_type() {
                Ok(kind) if kind.is_dir() => fs::remove_dir_all(entry.path()),
                _ => fs::remove_file(entry.path()),
            };
        }
    }
}

/// Makes earlier renames and removals in a folder durable.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("sync the folder", folder))
}

/// Whether a file could be replaced, found out without touching it: the folder takes a file, and the file is neither
/// immutable nor a mount of its own, which a rename cannot replace.
pub fn check_replaceable(path: &Path) -> Result<(), FileError> {
    let read_only = |why: &str| FileError::ReadOnly {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let folder = path
        .ancestors()
        .skip(1)
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"));
    if has_flag(folder) {
        return Err(read_only(
            "its folder is immutable (chattr -i to allow changes)",
        ));
    }
    tempfile::Builder::new()
        .prefix(".slipway-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(|error| read_only(&format!("its folder takes no files ({})", plain(error))))?;
    if !path.exists() {
        return Ok(());
    }
    if has_flag(path) {
        return Err(read_only(
            "it is immutable or append-only (chattr -i -a to allow changes)",
        ));
    }
    if let Ok(stat) = rustix::fs::statx(
        rustix::fs::CWD,
        path,
        rustix::fs::AtFlags::empty(),
        StatxFlags::BASIC_STATS,
    ) && stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    {
        return Err(read_only(
            "it is a mount of its own, which cannot be replaced",
        ));
    }
    rustix::fs::access(path, Access::WRITE_OK)
        .map_err(|error| read_only(&format!("it is not writable ({})", io::Error::from(error))))
}

fn has_flag(path: &Path) -> bool {
    File::open(path)
        .ok()
        .and_then(|file| rustix::fs::ioctl_getflags(&file).ok())
        .is_some_and(|flags| flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn read_xattrs(path: &Path) -> Result<Vec<(String, String)>, FileError> {
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::listxattr(path, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => {
            return Err(io_error("list the extended attributes of", path)(
                error.into(),
            ));
        }
    };
    let mut found = Vec::new();
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let Ok(name) = str::from_utf8(name) else {
            continue;
        };
        let mut value = vec![0; 64 * 1024];
        if let Ok(length) = rustix::fs::getxattr(path, name, &mut value[..]) {
            found.push((name.to_owned(), crate::digest::hex(&value[..length])));
        }
    }
    found.sort();
    Ok(found)
}

fn write_xattrs(path: &Path, xattrs: &[(String, String)]) -> Result<(), FileError> {
    for (name, value) in xattrs {
        let value = crate::digest::unhex(value).unwrap_or_default();
        match rustix::fs::setxattr(path, name.as_str(), &value, rustix::fs::XattrFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
            Err(error) => return Err(io_error("set extended attributes on", path)(error.into())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_keeps_mode_and_extended_attributes_and_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let _ = rustix::fs::setxattr(
            &path,
            "user.slipway",
            b"kept",
            rustix::fs::XattrFlags::empty(),
        );
        let (_, before) = read(&path, 100).unwrap().unwrap();
        write_atomic(&path, b"new", &before).unwrap();
        let (bytes, after) = read(&path, 100).unwrap().unwrap();
        assert_eq!((bytes.as_slice(), &after), (&b"new"[..], &before));
        assert_eq!(after.mode, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn reads_are_bounded_and_only_of_regular_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "12345").unwrap();
        assert!(matches!(read(&path, 4), Err(FileError::TooLarge { .. })));
        assert!(read(&path, 5).unwrap().is_some());
        assert!(matches!(
            read(dir.path(), 5),
            Err(FileError::NotRegular { .. })
        ));
        assert!(read(&dir.path().join("none"), 5).unwrap().is_none());
    }

    #[test]
    fn folders_are_made_and_named_so_that_they_can_be_removed_again() {
        let dir = tempfile::tempdir().unwrap();
        let made = create_folders(&dir.path().join("a/b")).unwrap();
        assert_eq!(made, [dir.path().join("a"), dir.path().join("a/b")]);
        assert!(create_folders(&dir.path().join("a/b")).unwrap().is_empty());
        remove_folder_if_empty(&dir.path().join("a")).unwrap();
        assert!(dir.path().join("a").exists(), "it holds b");
    }
}
