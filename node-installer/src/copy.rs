//! `copy`: brings binaries from an image's own files into a folder that an install then reads as its payload.
//!
//! ```text
//! installer image   slipway-node-installer copy --self /tools
//! the user's image  /tools/slipway-node-installer copy --from /path/in/the/image --out /payload
//! ```
//!
//! The second runs in an image that has no shell perhaps, and as a user without rights: it needs nothing but this
//! program, which is static.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::args::CopyArgs;
use crate::failure::{Failure, Reason};
use crate::payload::INSTALLER;
use crate::payload::source::{self, PayloadError};
use crate::report::{Outcome, Report, Steps as _};
use crate::spec;

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The file system.
    #[error("cannot {verb} {path}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A binary.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A name that no payload has.
    #[error("{path} cannot be part of a payload: {why}")]
    Name {
        /// The path.
        path: PathBuf,
        /// In words.
        why: String,
    },
}

impl Reason for CopyError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => "DiskFull",
            Self::Io { .. } => "PayloadUnwritable",
            Self::Payload(error) => error.reason(),
            Self::Name { .. } => "PayloadUnusable",
        }
    }
}

fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CopyError {
    let path = path.to_owned();
    move |source| CopyError::Io { verb, path, source }
}

/// The command.
pub(crate) fn run(args: &CopyArgs, report: &mut Report) -> Result<(), Failure> {
    report.enter("copy");
    let copied = match (&args.own, &args.from, &args.out) {
        (Some(folder), _, _) => own(folder).map(|name| vec![name]),
        (None, Some(from), Some(out)) => copy(from, out),
        _ => {
            let message = "either --self, or --from and --out are needed";
            return Err(Failure::refusal("Usage", message));
        }
    };
    let names = copied.map_err(|error| Failure::refused(&error))?;
    report.end(
        Outcome::Done,
        "Copied",
        format!("brought {}", names.join(", ")),
    );
    Ok(())
}

/// Copies this program into a folder.
fn own(folder: &Path) -> Result<String, CopyError> {
    copy_files(
        &[(PathBuf::from("/proc/self/exe"), INSTALLER.to_owned())],
        folder,
    )?;
    Ok(INSTALLER.to_owned())
}

/// Copies a file, or the files of a folder, and returns their names. A link to either is followed: what it leads to is
/// the image's own as well. Folders in the folder stay out: `/`, where images often have their one file, also holds those
/// that the runtime mounts there.
///
/// # Errors
/// When anything is not as it should be; the folder holds nothing new then.
pub fn copy(from: &Path, out: &Path) -> Result<Vec<String>, CopyError> {
    let meta = fs::metadata(from).map_err(io_error("read", from))?;
    let mut files = Vec::new();
    if meta.is_dir() {
        for entry in fs::read_dir(from).map_err(io_error("read", from))? {
            let path = entry.map_err(io_error("read", from))?.path();
            if path.is_dir() {
                continue;
            }
            if files.len() == source::MAX_FILES {
                return Err(PayloadError::TooMany(from.to_owned()).into());
            }
            let name = name_of(&path)?;
            files.push((path, name));
        }
    } else {
        files.push((from.to_owned(), name_of(from)?));
    }
    for (path, _) in &files {
        if !fs::metadata(path)
            .map_err(io_error("read", path))?
            .is_file()
        {
            return Err(PayloadError::NotAFile(path.clone()).into());
        }
        source::check_architecture(path)?;
    }
    files.sort();
    copy_files(&files, out)?;
    Ok(files.into_iter().map(|(_, name)| name).collect())
}

fn name_of(path: &Path) -> Result<String, CopyError> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    spec::file_name(name).map_err(|why| CopyError::Name {
        path: path.to_owned(),
        why,
    })?;
    Ok(name.to_owned())
}

/// Copies files, all or none of them.
fn copy_files(files: &[(PathBuf, String)], out: &Path) -> Result<(), CopyError> {
    fs::create_dir_all(out).map_err(io_error("create", out))?;
    for (at, (from, name)) in files.iter().enumerate() {
        let target = out.join(name);
        let copied = copy_file(from, &target);
        if let Err(error) = copied {
            for (_, name) in &files[..=at] {
                let _ = fs::remove_file(out.join(name));
            }
            return Err(error);
        }
    }
    Ok(())
}

fn copy_file(from: &Path, target: &Path) -> Result<(), CopyError> {
    let mut source = File::open(from).map_err(io_error("read", from))?;
    let mut file = File::create(target).map_err(io_error("create", target))?;
    io::copy(&mut source, &mut file).map_err(io_error("write", target))?;
    file.set_permissions(fs::Permissions::from_mode(0o755))
        .map_err(io_error("change the mode of", target))?;
    file.sync_all().map_err(io_error("write", target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_file_or_a_folder_of_files_is_copied_executable() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("usr/bin");
        fs::create_dir_all(image.join("proc")).unwrap();
        fs::write(image.join("shim-1.2"), "#!/bin/sh\n").unwrap();
        symlink("shim-1.2", image.join("containerd-shim-x-v1")).unwrap();
        let out = dir.path().join("payload");
        let link = image.join("containerd-shim-x-v1");
        assert_eq!(copy(&link, &out).unwrap(), ["containerd-shim-x-v1"]);
        let copied = out.join("containerd-shim-x-v1");
        let meta = copied.symlink_metadata().unwrap();
        assert!(meta.is_file());
        assert_eq!(meta.permissions().mode() & 0o777, 0o755);
        assert_eq!(
            copy(&image, &out).unwrap(),
            ["containerd-shim-x-v1", "shim-1.2"]
        );
    }

    #[test]
    fn what_no_payload_can_have_is_refused_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("payload");
        let reason = |from: &Path| copy(from, &out).unwrap_err().reason();
        assert_eq!(reason(&dir.path().join("none")), "PayloadUnwritable");
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let _socket = UnixListener::bind(folder.join("socket")).unwrap();
        assert_eq!(reason(&folder), "PayloadUnusable");
        let foreign = dir.path().join("foreign");
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
        elf.extend(22u16.to_le_bytes());
        fs::write(&foreign, elf).unwrap();
        assert_eq!(reason(&foreign), "WrongArchitecture");
        let hidden = dir.path().join(".hidden");
        fs::write(&hidden, "x").unwrap();
        assert_eq!(reason(&hidden), "PayloadUnusable");
        assert!(!out.exists());
    }
}
