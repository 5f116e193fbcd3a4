//! Looking code up, and believing it only when it is whole.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use crate::seal::{Checked, Seal};
use crate::{Digest, Identity, Key, Namespace, identity, trust};

/// Where the cache of a node lies.
pub const DEFAULT_ROOT: &str = "/var/lib/slipway/cache";

/// The most that [`Cache::find`] and [`Cache::get`] read of one file, 20 ms on a slow machine: the pod
/// process calls them in its only loop. What is longer is left to the compiler, which is a process of
/// its own.
pub const INLINE_LIMIT: u64 = 32 << 20;

/// The cache could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cache {}: {action}: {source}{}", path.display(), hint(source))]
pub struct CacheError {
    pub(crate) path: PathBuf,
    pub(crate) action: &'static str,
    #[source]
    pub(crate) source: io::Error,
}

/// What to do about it.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space on the node's disk"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; the cache needs a file system it can write to",
        _ => "",
    }
}

/// The cache of one node, for this engine and machine.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    key: Key,
    boot: String,
    limit: u64,
    /// The most code to keep, if whoever opened it says so.
    pub(crate) space: Option<u64>,
    pub(crate) root: OwnedFd,
    pub(crate) identities: OwnedFd,
    pub(crate) entries: OwnedFd,
}

impl Cache {
    /// Opens the cache, making its directories where they are missing.
    ///
    /// # Errors
    /// When a directory cannot be made, or is not in root's hands alone.
    pub fn open(root: &Path) -> Result<Self, CacheError> {
        let error = |action| {
            move |source| CacheError {
                path: root.to_path_buf(),
                action,
                source,
            }
        };
        let key = Key::host();
        let directory = trust::directory(root).map_err(error("opening"))?;
        let identities =
            trust::subdirectory(&directory, "identities").map_err(error("opening identities"))?;
        let entries = trust::subdirectory(&directory, key.as_str())
            .map_err(error("opening the engine's directory"))?;
        // As for a seal: another engine's compiler, which makes room, sees that this one is in use.
        let stat = rustix::fs::fstat(&entries)
            .map_err(|errno| error("opening the engine's directory")(errno.into()))?;
        let _ = touch(&entries, &stat, SystemTime::now());
        Ok(Self {
            path: root.to_path_buf(),
            key,
            boot: boot_id(),
            limit: INLINE_LIMIT,
            space: None,
            root: directory,
            identities,
            entries,
        })
    }

    /// The same cache for a caller with time: it reads files of any length.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.limit = u64::MAX;
        self
    }

    /// The same cache, which keeps at most `bytes` of code instead of [`crate::SPACE_LIMIT`] or a tenth of the disk. For
    /// tests: the compiler offers no such choice.
    #[must_use]
    pub fn bounded(mut self, bytes: u64) -> Self {
        self.space = Some(bytes);
        self
    }

    /// The key of the code that is found here.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Finds the code of an open wasm file. With a namespace (see [`Namespace`]; only for a file on a
    /// container's root file system) the file is hashed once and known by its inode from then on.
    ///
    /// `None` means: ask the compiler. The code may still be there, but telling would take long.
    ///
    /// # Errors
    /// When the cache or the file cannot be read.
    pub fn find(
        &self,
        wasm: &File,
        namespace: Option<Namespace>,
    ) -> Result<Option<File>, CacheError> {
        let stat = rustix::fs::fstat(wasm).map_err(self.error("reading the module"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let identity =
            namespace.and_then(|namespace| identity::identity(namespace, &stat, SystemTime::now()));
        if let Some(identity) = identity
            && let Some(digest) = self.remembered(identity)?
        {
            return self.get(&digest);
        }
        if u64::try_from(stat.st_size).is_ok_and(|size| size > self.limit) {
            return Ok(None);
        }
        let digest = Digest::of_file(wasm).map_err(self.error("reading the module"))?;
        let code = self.get(&digest)?;
        if code.is_some()
            && let Some(identity) = identity
        {
            self.remember(identity, &digest)?;
        }
        Ok(code)
    }

    /// Opens the code of the module with this digest. A file that is damaged, or that root has not
    /// written, is removed and not there.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn get(&self, module: &Digest) -> Result<Option<File>, CacheError> {
        let (code_name, seal_name) = names(module);
        let reading = || self.error("reading code");
        let Some((seal, used)) = trust::file(&self.entries, &seal_name).map_err(reading())? else {
            return Ok(None);
        };
        let Some((code, stat)) = trust::file(&self.entries, &code_name).map_err(reading())? else {
            return Ok(None);
        };
        // Best effort: what is not touched goes a little sooner.
        let _ = touch(&seal, &used, SystemTime::now());
        let Some(seal) = Seal::read(seal).map_err(reading())? else {
            self.discard(module)?;
            return Ok(None);
        };
        if u64::try_from(stat.st_size).ok() != Some(seal.length) {
            self.discard(module)?;
            return Ok(None);
        }
        let now = Checked::new(&self.boot, &stat);
        if !self.boot.is_empty() && seal.checked.as_ref() == Some(&now) {
            return Ok(Some(code));
        }
        if seal.length > self.limit {
            return Ok(None);
        }
        if Digest::of_file(&code).map_err(reading())? != seal.digest {
            self.discard(module)?;
            return Ok(None);
        }
        let seal = Seal {
            checked: Some(now),
            ..seal
        };
        write(&self.entries, &seal_name, &seal.render()).map_err(self.error("sealing code"))?;
        Ok(Some(code))
    }

    /// The identity of a file, to be taken before it is read; `None` for one that changed just now.
    ///
    /// # Errors
    /// When the file cannot be looked at.
    pub fn identify(
        &self,
        wasm: &File,
        namespace: Namespace,
    ) -> Result<Option<Identity>, CacheError> {
        let stat = rustix::fs::fstat(wasm).map_err(self.error("reading the module"))?;
        Ok(identity::identity(namespace, &stat, SystemTime::now()))
    }

    /// Remembers which module the file with this identity holds.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn remember(&self, identity: Identity, module: &Digest) -> Result<(), CacheError> {
        write(
            &self.identities,
            &identity.to_string(),
            &format!("{module}\n"),
        )
        .map_err(self.error("writing identities"))
    }

    /// Writes the seal of code that is in place under its name.
    pub(crate) fn seal(&self, module: &Digest, code: &File, digest: Digest) -> io::Result<()> {
        let stat = rustix::fs::fstat(code)?;
        let seal = Seal {
            length: u64::try_from(stat.st_size).unwrap_or_default(),
            digest,
            checked: Some(Checked::new(&self.boot, &stat)),
        };
        write(&self.entries, &names(module).1, &seal.render())
    }

    fn discard(&self, module: &Digest) -> Result<(), CacheError> {
        let (code, seal) = names(module);
        trust::remove(&self.entries, &seal)
            .and_then(|()| trust::remove(&self.entries, &code))
            .map_err(self.error("removing damaged code"))
    }

    fn remembered(&self, identity: Identity) -> Result<Option<Digest>, CacheError> {
        let name = identity.to_string();
        let file =
            trust::file(&self.identities, &name).map_err(self.error("reading identities"))?;
        let Some((file, _)) = file else {
            return Ok(None);
        };
        let mut text = String::new();
        match file.take(128).read_to_string(&mut text) {
            Ok(_) => Ok(text
                .strip_suffix('\n')
                .and_then(|digest| digest.parse().ok())),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(source) => Err(self.error("reading identities")(source)),
        }
    }

    pub(crate) fn error<E: Into<io::Error>>(
        &self,
        action: &'static str,
    ) -> impl FnOnce(E) -> CacheError {
        let path = self.path.clone();
        move |source| CacheError {
            path,
            action,
            source: source.into(),
        }
    }
}

/// The names of a module's code and of its seal.
pub(crate) fn names(module: &Digest) -> (String, String) {
    (format!("{module}.cwasm"), format!("{module}.seal"))
}

/// Notes in the time stamp of a seal, or of an engine's directory, that it is used, for `collect`; once an hour is enough.
fn touch(used: impl AsFd, stat: &rustix::fs::Stat, now: SystemTime) -> io::Result<()> {
    const RESOLUTION: Duration = Duration::from_secs(3600);
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let touched = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
    if now.saturating_sub(touched) < RESOLUTION {
        return Ok(());
    }
    let omit = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    };
    let times = Timestamps {
        last_access: omit,
        last_modification: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        },
    };
    Ok(rustix::fs::futimens(used, &times)?)
}

/// Replaces a small file at once. Not synced: a torn one is not believed, and made again.
pub(crate) fn write(directory: &OwnedFd, name: &str, text: &str) -> io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let temporary = format!(
        "{name}.{}-{}.tmp",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let result = rustix::fs::openat(
        directory,
        &temporary,
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::RUSR | Mode::WUSR,
    )
    .map_err(io::Error::from)
    .and_then(|file| File::from(file).write_all(text.as_bytes()))
    .and_then(|()| {
        Ok(rustix::fs::renameat(
            directory, &temporary, directory, name,
        )?)
    });
    if result.is_err() {
        trust::remove(directory, &temporary)?;
    }
    result
}

/// Names this boot of the kernel (random(4)); empty where it cannot be told, which checks every time.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
