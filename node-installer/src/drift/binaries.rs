//! The shims' files: read once in full, then again only when what `stat` says of them changes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Drift;
use crate::digest;
use crate::host::HostRoot;
use crate::journal::{Installed, InstalledShim};
use crate::payload::INSTALLER;

/// What is known of the files of each shim, by the shim's name: nothing if they never were as they should be.
#[derive(Debug)]
pub(super) struct Binaries(BTreeMap<String, Stamps>);

/// What `stat` says of each file, by its name.
type Stamps = BTreeMap<String, Stamp>;

/// Inode, size, mode, times of content and of inode in seconds and nanoseconds.
type Stamp = (u64, u64, u32, (i64, i64), (i64, i64));

impl Binaries {
    /// Reads them. A payload of ours whose files are not those of its digest has changed while nobody watched, and the next
    /// install puts it right. Of a shim that was on the host before nothing is known but how it stands now.
    pub(super) fn of(root: &HostRoot, installed: &Installed) -> Self {
        let mut known = BTreeMap::new();
        for (name, shim) in &installed.shims {
            match stamps(root, shim) {
                Ok(stamps) if is_whole(root, shim) => {
                    known.insert(name.clone(), stamps);
                }
                _ if shim.digest.is_some() => {
                    known.insert(name.clone(), Stamps::new());
                }
                _ => tracing::warn!(
                    "{} cannot be watched: it cannot be run as it stands",
                    shim.path.display()
                ),
            }
        }
        Self(known)
    }

    /// The first shim whose files are not what they were.
    pub(super) fn changed(&mut self, root: &HostRoot, installed: &Installed) -> Option<Drift> {
        self.0.iter_mut().find_map(|(name, known)| {
            let shim = installed.shims.get(name)?;
            let now = match stamps(root, shim) {
                Ok(now) if now == *known => return None,
                Ok(now) => now,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Some(drift(shim, format!("{} is gone", shim.path.display())));
                }
                Err(_) => return None,
            };
            // Only touched, or replaced by the same bytes, or a package has brought a new one of its own.
            if is_whole(root, shim) {
                *known = now;
                return None;
            }
            if known.is_empty() {
                let folder = shim.path.parent().unwrap_or(&shim.path);
                let what = format!("what is in {} is not what was installed", folder.display());
                return Some(drift(shim, what));
            }
            let changed = known
                .iter()
                .find(|(name, stamp)| now.get(*name) != Some(*stamp))
                .map(|(name, _)| name)
                .or_else(|| now.keys().find(|name| !known.contains_key(*name)));
            let folder = shim.path.parent().unwrap_or(&shim.path);
            let path = changed.map_or_else(|| shim.path.clone(), |name| folder.join(name));
            Some(drift(
                shim,
                format!("{} is not what was installed", path.display()),
            ))
        })
    }
}

fn drift(shim: &InstalledShim, message: String) -> Drift {
    Drift {
        handlers: shim.names(),
        message,
    }
}

/// What `stat` says of the shim and what stands beside it. Of one that was on the host before, of itself alone.
fn stamps(root: &HostRoot, shim: &InstalledShim) -> io::Result<Stamps> {
    let path = locate(root, &shim.path)?;
    let name = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let own = stamp(&path)?;
    let mut stamps = Stamps::from([(name(&path), own)]);
    if shim.digest.is_some() {
        for entry in fs::read_dir(path.parent().unwrap_or(&path))? {
            let path = entry?.path();
            if is_watched(&name(&path)) {
                stamps.insert(name(&path), stamp(&path)?);
            }
        }
    }
    Ok(stamps)
}

/// Not the installer's copy, which another version replaces, nor what is on its way to replace something.
fn is_watched(name: &str) -> bool {
    name != INSTALLER && !name.starts_with(".slipway-")
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let meta = fs::metadata(path)?;
    Ok((
        meta.ino(),
        meta.size(),
        meta.mode(),
        (meta.mtime(), meta.mtime_nsec()),
        (meta.ctime(), meta.ctime_nsec()),
    ))
}

/// Whether the shim can be run, and has the bytes that its digest names (`payload::source::read`).
fn is_whole(root: &HostRoot, shim: &InstalledShim) -> bool {
    let Ok(path) = locate(root, &shim.path) else {
        return false;
    };
    let executable = |path: &Path| {
        fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 == 0o111)
    };
    let Some(wanted) = &shim.digest else {
        return executable(&path);
    };
    let folder = path.parent().unwrap_or(&path);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            return false;
        };
        if !is_watched(&name) {
            continue;
        }
        let read = File::open(entry.path()).and_then(digest::of_reader);
        match read {
            Ok(sha256) if executable(&entry.path()) => files.push((name, sha256)),
            _ => return false,
        }
    }
    files.sort();
    let list: String = files
        .iter()
        .map(|(name, sha256)| format!("{name}\0{sha256}\n"))
        .collect();
    digest::of_bytes(list.as_bytes()) == *wanted
}

fn locate(root: &HostRoot, path: &Path) -> io::Result<std::path::PathBuf> {
    root.locate(path).map_err(io::Error::other)
}
