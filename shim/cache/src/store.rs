//! Putting code into the cache, one compiler at a time.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::cache::names;
use crate::collect::{self, sweep};
use crate::queue::{Place, locked};
use crate::{Cache, CacheError, Digest, trust};

/// The right to compile on this node, until it is dropped.
#[derive(Debug)]
pub struct Lock<'a> {
    cache: &'a Cache,
    _file: OwnedFd,
    _place: Place,
}

impl Cache {
    /// Waits until no other process compiles on this node, in the order of coming.
    ///
    /// # Errors
    /// When the lock cannot be taken.
    pub fn lock(&self) -> Result<Lock<'_>, CacheError> {
        let place = Place::take(&self.root)
            .and_then(|place| place.wait().map(|()| place))
            .map_err(self.error("queueing for the lock"))?;
        let file = rustix::fs::openat(
            &self.root,
            "lock",
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )
        .map_err(self.error("opening the lock"))?;
        locked(&file, FlockOperation::LockExclusive).map_err(self.error("taking the lock"))?;
        Ok(Lock {
            cache: self,
            _file: file,
            _place: place,
        })
    }
}

impl Lock<'_> {
    /// Removes half of the code, what was used least recently first, because the disk is full. Tells whether that
    /// made any room.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn make_room(&self) -> Result<bool, CacheError> {
        let kept =
            collect::used(&self.cache.root).map_err(self.cache.error("measuring the cache"))?;
        Ok(self.cache.collect(kept / 2, None)? > 0)
    }

    /// Brings the cache back to the size that is allowed, without the code of `keep`. To be called when that is in place:
    /// its module can be run, whatever becomes of this.
    ///
    /// # Errors
    /// When the disk cannot be measured or something cannot be removed.
    pub fn make_fit(&self, keep: &Digest) -> Result<(), CacheError> {
        let limit = self
            .cache
            .space()
            .map_err(self.cache.error("measuring the disk"))?;
        self.cache.collect(limit, Some(keep)).map(drop)
    }

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

    /// Puts what was written into place. [`Lock::make_fit`] makes room for it.
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
        assert!(collect::files(&cache.entries).unwrap().is_empty());
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
}
