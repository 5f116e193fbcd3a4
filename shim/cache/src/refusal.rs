//! Modules that the compiler has refused, so that one whose pod is started again and again takes its turn once an hour, and
//! not each time.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

use crate::cache::write;
use crate::{Cache, CacheError, Digest, collect, trust};

/// How long a refusal is believed.
const VALID: Duration = Duration::from_secs(3600);

/// The most that are remembered.
const MOST: usize = 256;

/// The longest that is read, in bytes; a sentence of the compiler is a quarter of it.
const LENGTH: u64 = 4 << 10;

impl Cache {
    /// Why the module with this digest was refused under these terms (one line: the limits it was compiled within) less
    /// than an hour ago; `None` if it was not.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn refused(&self, module: &Digest, terms: &str) -> Result<Option<String>, CacheError> {
        self.read_refusal(module, terms, SystemTime::now())
            .map_err(self.error("reading a refusal"))
    }

    fn read_refusal(
        &self,
        module: &Digest,
        terms: &str,
        now: SystemTime,
    ) -> io::Result<Option<String>> {
        let Some((file, stat)) = trust::file(&self.entries, &name(module))? else {
            return Ok(None);
        };
        if !is_valid(&stat, now) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(LENGTH).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // A torn file is empty, and so has no second line.
        Ok(text
            .split_once('\n')
            .filter(|(of, sentence)| *of == terms && !sentence.is_empty())
            .map(|(_, sentence)| sentence.to_owned()))
    }

    /// Remembers for an hour that the module with this digest is refused under these terms, one line.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn refuse(&self, module: &Digest, terms: &str, sentence: &str) -> Result<(), CacheError> {
        expire(&self.entries, MOST - 1, SystemTime::now())
            .and_then(|()| {
                let text = format!("{terms}\n{sentence}");
                write(&self.entries, &name(module), &text)
            })
            .map_err(self.error("remembering a refusal"))
    }
}

fn name(module: &Digest) -> String {
    format!("{module}{SUFFIX}")
}

const SUFFIX: &str = ".refused";

/// A time that is yet to come is one of a clock that was set back.
fn is_valid(stat: &Stat, now: SystemTime) -> bool {
    let written = u64::try_from(stat.st_mtime)
        .ok()
        .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    written
        .and_then(|written| now.duration_since(written).ok())
        .is_some_and(|age| age < VALID)
}

/// Removes what is not believed any more, and the oldest of the others as far as they are more than `most`.
fn expire(entries: &OwnedFd, most: usize, now: SystemTime) -> io::Result<()> {
    let mut valid = Vec::new();
    for name in collect::files(entries)? {
        if !name.ends_with(SUFFIX) {
            continue;
        }
        match collect::look(entries, &name)? {
            Some(stat) if is_valid(&stat, now) => {
                valid.push(((stat.st_mtime, stat.st_mtime_nsec), name));
            }
            _ => trust::remove(entries, &name)?,
        }
    }
    valid.sort();
    let surplus = valid.len().saturating_sub(most);
    for (_, name) in valid.into_iter().take(surplus) {
        trust::remove(entries, &name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_believed_for_an_hour_and_under_the_same_terms() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path()).unwrap();
        let module = Digest::of(b"bomb");
        assert_eq!(cache.refused(&module, "4 GiB").unwrap(), None);
        cache.refuse(&module, "4 GiB", "is too\nmuch").unwrap();
        let said = Some("is too\nmuch".to_owned());
        assert_eq!(cache.refused(&module, "4 GiB").unwrap(), said);
        assert_eq!(cache.refused(&module, "8 GiB").unwrap(), None);
        assert_eq!(cache.refused(&Digest::of(b"other"), "4 GiB").unwrap(), None);
        let later = SystemTime::now() + VALID;
        assert_eq!(cache.read_refusal(&module, "4 GiB", later).unwrap(), None);
        let before = UNIX_EPOCH;
        assert_eq!(cache.read_refusal(&module, "4 GiB", before).unwrap(), None);
    }

    #[test]
    fn what_others_could_have_written_or_is_torn_is_no_refusal() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path()).unwrap();
        let module = Digest::of(b"module");
        let path = root.path().join(cache.key().as_str()).join(name(&module));
        for torn in ["", "terms", "terms\n"] {
            std::fs::write(&path, torn).unwrap();
            assert_eq!(cache.refused(&module, "terms").unwrap(), None, "{torn:?}");
        }
        std::fs::write(&path, "terms\nno").unwrap();
        assert!(cache.refused(&module, "terms").unwrap().is_some());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(cache.refused(&module, "terms").unwrap(), None);
    }

    #[test]
    fn they_stay_few() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path()).unwrap();
        let modules: Vec<_> = (0..5u8).map(|n| Digest::of(&[n])).collect();
        for module in &modules {
            cache.refuse(module, "", "no").unwrap();
        }
        let left = || collect::files(&cache.entries).unwrap().len();
        expire(&cache.entries, 5, SystemTime::now()).unwrap();
        assert_eq!(left(), 5);
        expire(&cache.entries, 3, SystemTime::now()).unwrap();
        assert_eq!(left(), 3);
        assert_eq!(cache.refused(&modules[4], "").unwrap(), Some("no".into()));
        expire(&cache.entries, 3, SystemTime::now() + VALID).unwrap();
        assert_eq!(left(), 0);
    }
}
