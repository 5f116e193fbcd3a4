//! Putting code into the cache, one compiler at a time.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Dir, FileType, FlockOperation, Mode, OFlags};

use crate::cache::names;
use crate::{Cache, CacheError, Digest, trust};

/// How much code is kept on a node, of all engines together. What was used least recently goes first;
/// workers that have mapped it keep it.
pub const SPACE_LIMIT: u64 = 4 << 30;

/// The right to compile on this node, until it is dropped.
#[derive(Debug)]
pub struct Lock<'a> {
    cache: &'a Cache,
    _file: OwnedFd,
}

impl Cache {
    /// Waits until no other process compiles on this node.
    ///
    /// # Errors
    /// When the lock cannot be taken.
    pub fn lock(&self) -> Result<Lock<'_>, CacheError> {
        let file = rustix::fs::openat(
            &self.root,
            "lock",
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )
        .map_err(self.error("opening the lock"))?;
        loop {
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.error("taking the lock")(error)),
            }
        }
        Ok(Lock {
            cache: self,
            _file: file,
        })
    }
}

impl Lock<'_> {
    /// Makes the file that the code of this module is to be written to.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn stage(&self, module: Digest) -> Result<Staging<'_>, CacheError> {
        sweep(&self.cache.entries).map_err(self.cache.error("removing what was left over"))?;
        let name = format!("{module}.new.tmp");
        let file = rustix::fs::openat(
            &self.cache.entries,
            &name,
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            // Workers map it under the ids of their containers, by a descriptor; nobody but root reaches
            // it by its path.
            Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH,
        )
        .map_err(self.cache.error("making a file"))?;
        let mut staging = Staging {
            cache: self.cache,
            module,
            file: File::from(file),
            name: Some(name),
        };
        // The umask of whoever started the compiler must not count.
        rustix::fs::fchmod(&staging.file, Mode::from_raw_mode(0o644))
            .map_err(|error| staging.fail("making a file", error))?;
        Ok(staging)
    }
}

/// Code that is being written.
#[derive(Debug)]
pub struct Staging<'a> {
    cache: &'a Cache,
    module: Digest,
    file: File,
    /// The temporary name, while it exists.
    name: Option<String>,
}

impl Staging<'_> {
    /// The file to write to, from its start.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Puts what was written into place, and makes room for it.
    ///
    /// # Errors
    /// When it cannot be made durable; then nothing has changed.
    pub fn commit(mut self) -> Result<(), CacheError> {
        let (code, _) = names(&self.module);
        let digest = Digest::of_file(&self.file)
            .and_then(|digest| self.file.sync_all().map(|()| digest))
            .map_err(|error| self.fail("writing code", error))?;
        if let Some(name) = &self.name {
            rustix::fs::renameat(&self.cache.entries, name, &self.cache.entries, &code)
                .map_err(self.cache.error("putting code into place"))?;
            self.name = None;
        }
        rustix::fs::fsync(&self.cache.entries)
            .map_err(io::Error::from)
            .and_then(|()| self.cache.seal(&self.module, &self.file, digest))
            .and_then(|()| evict(&self.cache.root, SPACE_LIMIT, &code))
            .map_err(self.cache.error("sealing code"))
    }

    fn fail<E: Into<io::Error>>(&mut self, action: &'static str, error: E) -> CacheError {
        self.cache.error(action)(error)
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // The next compiler sweeps what cannot be removed now.
            let _ = trust::remove(&self.cache.entries, name);
        }
    }
}

/// Removes the temporary files of compilers that were killed. Those of seals go too: their writers, if
/// they live, fail to rename and the next one writes again.
fn sweep(entries: &OwnedFd) -> io::Result<()> {
    for name in files(entries)? {
        if name.ends_with(".new.tmp") {
            trust::remove(entries, &name)?;
        }
    }
    Ok(())
}

/// Removes the least recently used code until at most `limit` bytes are left; never `keep`.
fn evict(root: &OwnedFd, limit: u64, keep: &str) -> io::Result<()> {
    let mut found = Vec::new();
    let mut total = 0;
    for entry in Dir::read_from(root)? {
        let entry = entry?;
        let Ok(key) = entry.file_name().to_str() else {
            continue;
        };
        if entry.file_type() != FileType::Directory || key.starts_with('.') || key == "identities" {
            continue;
        }
        let directory = trust::subdirectory(root, key)?;
        for name in files(&directory)? {
            if !name.ends_with(".cwasm") {
                continue;
            }
            let stat =
                rustix::fs::statat(&directory, &name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
            let size = u64::try_from(stat.st_size).unwrap_or_default();
            total += size;
            let used = stat.st_atime.max(stat.st_mtime);
            found.push((used, size, key.to_owned(), name));
        }
    }
    found.sort();
    for (_, size, key, name) in found {
        if total <= limit {
            break;
        }
        if name == keep {
            continue;
        }
        let directory = trust::subdirectory(root, &key)?;
        trust::remove(&directory, &name.replace(".cwasm", ".seal"))?;
        trust::remove(&directory, &name)?;
        total -= size;
    }
    Ok(())
}

fn files(directory: impl AsFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && entry.file_type() == FileType::RegularFile
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn store(cache: &Cache, module: &[u8], code: &[u8]) -> Digest {
        let module = Digest::of(module);
        let lock = cache.lock().unwrap();
        let staging = lock.stage(module).unwrap();
        staging.file().write_all(code).unwrap();
        staging.commit().unwrap();
        module
    }

    #[test]
    fn stored_code_can_be_read_by_any_user_who_is_given_it() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path()).unwrap();
        let module = store(&cache, b"wasm", b"code");
        let code = cache.get(&module).unwrap().unwrap();
        assert_eq!(code.metadata().unwrap().mode() & 0o7777, 0o644);
        assert_eq!(Digest::of_file(&code).unwrap(), Digest::of(b"code"));
    }

    #[test]
    fn what_is_not_committed_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path()).unwrap();
        let lock = cache.lock().unwrap();
        drop(lock.stage(Digest::of(b"wasm")).unwrap());
        assert!(files(&cache.entries).unwrap().is_empty());
        assert!(cache.get(&Digest::of(b"wasm")).unwrap().is_none());
    }

    #[test]
    fn a_killed_compiler_s_file_is_swept() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path()).unwrap();
        let lock = cache.lock().unwrap();
        std::mem::forget(lock.stage(Digest::of(b"wasm")).unwrap());
        drop(lock);
        let lock = cache.lock().unwrap();
        assert!(lock.stage(Digest::of(b"wasm")).is_ok());
    }

    #[test]
    fn room_is_made_for_what_is_new() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path()).unwrap();
        let modules = [b"one", b"two", b"new"].map(|name| store(&cache, name, &[0; 100]));
        for (age, module) in [(0, &modules[2]), (10, &modules[1]), (20, &modules[0])] {
            let (code, _) = names(module);
            let when = rustix::fs::Timespec {
                tv_sec: 1_000_000 - age,
                tv_nsec: 0,
            };
            let times = rustix::fs::Timestamps {
                last_access: when,
                last_modification: when,
            };
            rustix::fs::utimensat(&cache.entries, &code, &times, rustix::fs::AtFlags::empty())
                .unwrap();
        }
        evict(&cache.root, 250, &names(&modules[2]).0).unwrap();
        let left = modules.map(|module| cache.get(&module).unwrap().is_some());
        assert_eq!(left, [false, true, true]);
    }
}
