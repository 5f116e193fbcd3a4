//! Keeping the cache small: what was used least recently goes.
//!
//! Run by the compiler after each module, under its lock, so that nobody waits for it and only one does it. A file that
//! goes while it is opened or mapped stays whole for whoever has it; who comes later asks the compiler.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Stat, statat};
use rustix::io::Errno;

use crate::cache::names;
use crate::key::PREFIX;
use crate::{Cache, CacheError, Digest, trust};

/// The most code that is kept on a node, of all engines together. No option of a pod, a handler or the node changes it:
/// what goes is compiled again.
pub const SPACE_LIMIT: u64 = 4 << 30;

/// It is also at most this part of the disk, so that a small node's cache does not bring its kubelet to evict pods.
const DISK_SHARE: u64 = 10;

/// Code that another engine or processor made is of no use until that comes back: after a rollback, or to pods that
/// run the version before.
const STALE: Duration = Duration::from_secs(14 * 24 * 3600);

/// The most inodes that are remembered; one that is forgotten is hashed again.
const MAX_IDENTITIES: usize = 4096;

/// A compiled file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// When it was used last, in seconds since 1970.
    used: i64,
    size: u64,
    key: String,
    name: String,
}

impl Cache {
    /// How many bytes of code may be kept.
    pub(crate) fn space(&self) -> io::Result<u64> {
        if let Some(limit) = self.space {
            return Ok(limit);
        }
        let disk = rustix::fs::fstatvfs(&self.root)?;
        Ok(SPACE_LIMIT.min(disk.f_blocks.saturating_mul(disk.f_frsize) / DISK_SHARE))
    }

    /// Removes what is too much or too old, never the code of `keep`, and returns how many bytes of code went.
    pub(crate) fn collect(&self, limit: u64, keep: Option<&Digest>) -> Result<u64, CacheError> {
        let keep = keep.map(|keep| names(keep).0);
        let own = self.key().as_str();
        let now = SystemTime::now();
        let collected = evict(&self.root, own, limit, keep.as_deref(), now)
            .and_then(|removed| forget(&self.identities, MAX_IDENTITIES).map(|()| removed));
        collected.map_err(self.error("making room"))
    }
}

/// How many bytes of code there are.
pub(crate) fn used(root: &OwnedFd) -> io::Result<u64> {
    let mut total = 0;
    for key in keys(root)? {
        total += entries(root, &key)?.iter().map(|e| e.size).sum::<u64>();
    }
    Ok(total)
}

fn evict(
    root: &OwnedFd,
    own: &str,
    limit: u64,
    keep: Option<&str>,
    now: SystemTime,
) -> io::Result<u64> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let stale = i64::try_from(now.saturating_sub(STALE).as_secs()).unwrap_or(i64::MAX);
    let mut found = Vec::new();
    let mut removed = 0;
    for key in keys(root)? {
        // Before its entries are looked at: who opens it meanwhile makes it fresh.
        let opened = look(root, &key)?.map_or(0, |directory| directory.st_mtime);
        let of_key = entries(root, &key)?;
        // An empty one may be that of a compiler which is about to put its first file there.
        if key != own && opened < stale && of_key.iter().all(|entry| entry.used < stale) {
            removed += of_key.iter().map(|entry| entry.size).sum::<u64>();
            remove_key(root, &key)?;
        } else {
            found.extend(of_key);
        }
    }
    found.sort();
    let mut total: u64 = found.iter().map(|entry| entry.size).sum();
    for entry in found {
        if total <= limit {
            break;
        }
        if entry.key == own && Some(entry.name.as_str()) == keep {
            continue;
        }
        let directory = trust::subdirectory(root, &entry.key)?;
        // First what vouches for it.
        trust::remove(&directory, &seal_of(&entry.name))?;
        trust::remove(&directory, &entry.name)?;
        total -= entry.size;
        removed += entry.size;
    }
    Ok(removed)
}

/// The directories of code, each of one engine and processor.
fn keys(root: &OwnedFd) -> io::Result<Vec<String>> {
    let mut keys = Vec::new();
    for entry in Dir::read_from(root)? {
        let entry = entry?;
        if let Ok(key) = entry.file_name().to_str()
            && key.starts_with(PREFIX)
            && FileType::from_raw_mode(statat(root, key, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
                == FileType::Directory
        {
            keys.push(key.to_owned());
        }
    }
    Ok(keys)
}

fn entries(root: &OwnedFd, key: &str) -> io::Result<Vec<Entry>> {
    let directory = trust::subdirectory(root, key)?;
    let mut entries = Vec::new();
    for name in files(&directory)? {
        if !name.ends_with(".cwasm") {
            continue;
        }
        let Some(code) = look(&directory, &name)? else {
            continue;
        };
        // `Cache::get` touches the seal. Access times are not kept on every file system.
        let touched = look(&directory, &seal_of(&name))?.map_or(0, |seal| seal.st_mtime);
        entries.push(Entry {
            used: touched.max(code.st_mtime),
            size: u64::try_from(code.st_size).unwrap_or_default(),
            key: key.to_owned(),
            name,
        });
    }
    Ok(entries)
}

fn remove_key(root: &OwnedFd, key: &str) -> io::Result<()> {
    let directory = trust::subdirectory(root, key)?;
    for name in files(&directory)? {
        trust::remove(&directory, &name)?;
    }
    match rustix::fs::unlinkat(root, key, AtFlags::REMOVEDIR) {
        // A compiler of that engine works in it again.
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Forgets the older half of the inodes if there are more than `limit`.
fn forget(identities: &OwnedFd, limit: usize) -> io::Result<()> {
    let names = files(identities)?;
    if names.len() <= limit {
        return Ok(());
    }
    let mut dated = Vec::with_capacity(names.len());
    for name in names {
        if let Some(stat) = look(identities, &name)? {
            dated.push(((stat.st_mtime, stat.st_mtime_nsec), name));
        }
    }
    dated.sort();
    let surplus = dated.len() - limit / 2;
    for (_, name) in dated.into_iter().take(surplus) {
        trust::remove(identities, &name)?;
    }
    Ok(())
}

/// Removes the temporary files of compilers that were killed.
pub(crate) fn sweep(entries: &OwnedFd) -> io::Result<()> {
    for name in files(entries)? {
        if name.ends_with(".new.tmp") {
            trust::remove(entries, &name)?;
        }
    }
    Ok(())
}

fn seal_of(code: &str) -> String {
    code.replace(".cwasm", ".seal")
}

/// A file's state; `None` if it went meanwhile.
pub(crate) fn look(directory: &OwnedFd, name: &str) -> io::Result<Option<Stat>> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn files(directory: impl AsFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && entry.file_type() != FileType::Directory
        {
            names.push(name.to_owned());
        }
    }
    // `.` and `..` have no type on some file systems.
    names.retain(|name| name != "." && name != "..");
    Ok(names)
}

#[cfg(test)]
mod tests;
