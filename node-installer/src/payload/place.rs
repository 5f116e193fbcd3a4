//! Puts a payload on the node: `<install root>/<digest>/`, whole or not there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;

use super::INSTALLER;
use super::source::Payload;
use crate::digest;
use crate::failure::Reason;
use crate::host::command::{self, CommandError};
use crate::host::files::{self, FileError, io_error};
use crate::host::{HostRoot, root::RootError};

const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// A payload on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its folder, a host path.
    pub folder: PathBuf,
    /// Whether it was not there before.
    pub new: bool,
    /// Folders made for it, host paths, outermost first.
    pub created_folders: Vec<PathBuf>,
}

/// Why the binaries could not be placed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The path of the host.
    #[error(transparent)]
    Root(#[from] RootError),
    /// It could not be run at all.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It ran, and failed.
    #[error("{shim} -v does not run on this node: {words}")]
    Probe {
        /// The shim.
        shim: PathBuf,
        /// What it said.
        words: String,
    },
    /// The payload changed while it was copied.
    #[error("{0} changed while it was copied")]
    Changed(PathBuf),
}

impl Reason for PlaceError {
    fn reason(&self) -> &'static str {
        match self {
            Self::File(error) if error.is_full() => error.reason(),
            Self::File(_) => "InstallRootUnwritable",
            Self::Root(error) => error.reason(),
            Self::Command(_) | Self::Probe { .. } => "PayloadNotRunnable",
            Self::Changed(_) => "PayloadUnusable",
        }
    }
}

/// Where a payload stands on the node.
pub fn folder(install_root: &Path, digest: &str) -> PathBuf {
    install_root.join(digest)
}

/// Places a payload and this program beside it. A folder that is there already is compared, and repaired if a file of
/// it is damaged.
pub fn place(
    root: &HostRoot,
    install_root: &Path,
    payload: &Payload,
) -> Result<Placed, PlaceError> {
    let host_folder = folder(install_root, &payload.digest);
    let base = root.locate(install_root)?;
    let created = files::create_folders(&base)?;
    let created_folders = created.iter().map(|path| host_of(root, path)).collect();
    files::sweep(&base);

    match put(&base, payload) {
        Ok(new) => Ok(Placed {
            folder: host_folder,
            new,
            created_folders,
        }),
        Err(error) => {
            // What could not be filled is not left behind either.
            for folder in created.iter().rev() {
                let _ = files::remove_folder_if_empty(folder);
            }
            Err(error)
        }
    }
}

/// Whether the payload was not there before.
fn put(base: &Path, payload: &Payload) -> Result<bool, PlaceError> {
    let target = base.join(&payload.digest);
    let new = !target.exists();
    if new {
        let temp = tempfile::Builder::new()
            .prefix(".slipway-")
            .suffix(".tmp")
            .tempdir_in(base);
        let temp = temp.map_err(io_error("create a folder in", base))?;
        for file in &payload.files {
            copy(
                &file.path,
                &temp.path().join(&file.name),
                Some(&file.sha256),
            )?;
        }
        copy(
            Path::new("/proc/self/exe"),
            &temp.path().join(INSTALLER),
            None,
        )?;
        set_mode(temp.path())?;
        files::sync_folder(temp.path())?;
        let temp = temp.keep();
        fs::rename(&temp, &target).map_err(io_error("create", &target))?;
        files::sync_folder(base)?;
    } else {
        for file in &payload.files {
            replace_if_different(&file.path, &target.join(&file.name), Some(&file.sha256))?;
        }
        replace_if_different(Path::new("/proc/self/exe"), &target.join(INSTALLER), None)?;
        remove_others(&target, payload)?;
    }
    Ok(new)
}

/// Removes what is not of the payload from its folder: who compares the folder with its digest would find another.
fn remove_others(folder: &Path, payload: &Payload) -> Result<(), PlaceError> {
    let unreadable = || io_error("read", folder);
    for entry in fs::read_dir(folder).map_err(unreadable())? {
        let entry = entry.map_err(unreadable())?;
        let name = entry.file_name();
        let is_ours = name == INSTALLER || payload.files.iter().any(|file| name == *file.name);
        if is_ours {
            continue;
        }
        let path = entry.path();
        let removed = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
        removed.map_err(io_error("remove", &path))?;
    }
    Ok(())
}

/// Makes sure that a copy of this program is on the node, and returns the folders made for it, host paths. For what
/// has no payload to place it with: an uninstall, whose binaries may have been lost, or a shim that is adopted.
pub fn place_installer(root: &HostRoot, folder: &Path) -> Result<Vec<PathBuf>, PlaceError> {
    let local = root.locate(folder)?;
    let created = files::create_folders(&local)?;
    replace_if_different(Path::new("/proc/self/exe"), &local.join(INSTALLER), None)?;
    Ok(created.iter().map(|path| host_of(root, path)).collect())
}

/// Whether the shim runs on this node: the file system may forbid it, or a security module.
pub fn probe(runtime: &Runtime, root: &HostRoot, shim: &Path) -> Result<(), PlaceError> {
    let output = command::run(runtime, root, shim, &["-v"], PROBE_LIMIT)?;
    if output.success {
        Ok(())
    } else {
        Err(PlaceError::Probe {
            shim: shim.to_owned(),
            words: output.last_words(),
        })
    }
}

/// Removes a payload's folder and what was made to hold it.
pub fn remove(
    root: &HostRoot,
    folder: &Path,
    created_folders: &[PathBuf],
) -> Result<(), PlaceError> {
    let local = root.locate(folder)?;
    match fs::remove_dir_all(&local) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove", &local)(error).into());
        }
        _ => {}
    }
    for folder in created_folders.iter().rev() {
        files::remove_folder_if_empty(&root.locate(folder)?)?;
    }
    Ok(())
}

fn host_of(root: &HostRoot, local: &Path) -> PathBuf {
    Path::new("/").join(local.strip_prefix(root.base()).unwrap_or(local))
}

fn replace_if_different(from: &Path, to: &Path, sha256: Option<&str>) -> Result<(), PlaceError> {
    let hash = |path: &Path| File::open(path).and_then(digest::of_reader);
    let wanted = match sha256 {
        Some(sha256) => sha256.to_owned(),
        None => hash(from).map_err(io_error("read", from))?,
    };
    let executable = to
        .metadata()
        .is_ok_and(|meta| meta.permissions().mode() & 0o7777 == 0o755);
    if executable && hash(to).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    // A running binary cannot be written to, and must not change under its process: replace by rename.
    let temp = to.with_file_name(format!(".slipway-{}.tmp", &wanted[..16]));
    let _ = fs::remove_file(&temp);
    let copied = copy(from, &temp, Some(&wanted))
        .and_then(|()| Ok(fs::rename(&temp, to).map_err(io_error("replace", to))?));
    if copied.is_err() {
        let _ = fs::remove_file(&temp);
    }
    copied?;
    files::sync_folder(to.parent().unwrap_or(Path::new("/")))?;
    Ok(())
}

fn copy(from: &Path, to: &Path, sha256: Option<&str>) -> Result<(), PlaceError> {
    let mut source = File::open(from).map_err(io_error("read", from))?;
    let mut target = File::create_new(to).map_err(io_error("create", to))?;
    io::copy(&mut source, &mut target).map_err(io_error("write", to))?;
    set_mode(to)?;
    target.sync_all().map_err(io_error("sync", to))?;
    if let Some(sha256) = sha256
        && File::open(to)
            .and_then(digest::of_reader)
            .map_err(io_error("read", to))?
            != sha256
    {
        return Err(PlaceError::Changed(from.to_owned()));
    }
    Ok(())
}

fn set_mode(path: &Path) -> Result<(), FileError> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(io_error("change the mode of", path))
}

#[cfg(test)]
mod tests {
    use super::super::{SHIM, source};
    use super::*;

    fn payload(dir: &Path) -> Payload {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(SHIM), "#!/bin/sh\n[ \"$1\" = -v ]\n").unwrap();
        source::read(dir, SHIM).unwrap()
    }

    #[test]
    fn a_payload_is_placed_once_probed_repaired_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let payload = payload(&dir.path().join("payload"));
        let host = dir.path().join("host");
        fs::create_dir(&host).unwrap();
        let root = HostRoot::new(&host).unwrap();
        let placed = place(&root, Path::new("/opt/slipway"), &payload).unwrap();
        assert!(placed.new);
        assert_eq!(
            placed.created_folders,
            [Path::new("/opt"), Path::new("/opt/slipway")]
        );
        let shim = root.local(&placed.folder).join(SHIM);
        assert_eq!(shim.metadata().unwrap().permissions().mode() & 0o777, 0o755);

        fs::write(&shim, "damaged").unwrap();
        let again = place(&root, Path::new("/opt/slipway"), &payload).unwrap();
        assert!(!again.new && again.created_folders.is_empty());
        assert_eq!(
            fs::read(&shim).unwrap(),
            fs::read(&payload.files[0].path).unwrap()
        );

        remove(&root, &placed.folder, &placed.created_folders).unwrap();
        assert_eq!(fs::read_dir(&host).unwrap().count(), 0);
    }

    #[test]
    fn the_probe_runs_the_shim_on_the_node() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let payload = payload(&dir.path().join("payload"));
        let root = HostRoot::new(Path::new("/")).unwrap();
        let placed = place(&root, dir.path(), &payload).unwrap();
        probe(&runtime, &root, &placed.folder.join(SHIM)).unwrap();
        fs::write(
            placed.folder.join(SHIM),
            "#!/bin/sh\necho no such thing >&2; exit 1\n",
        )
        .unwrap();
        let error = probe(&runtime, &root, &placed.folder.join(SHIM)).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("-v does not run on this node: no such thing"),
            "{error}"
        );
    }
}
