//! What `delete` must know when the shim is gone: a small file in the bundle, there from before the container's
//! first process until everything of it is cleaned up.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Its name in the bundle.
pub const FILE: &str = "slipway.json";

/// The longest one that is read.
const MAX: usize = 4 << 10;

/// The record of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Its first process; 0 before it is born.
    pub pid: u32,
    /// When that was born, in clock ticks since boot: a pid alone may be another's by now.
    pub born: u64,
    /// Exit status and time (seconds and nanoseconds since the epoch), once it has ended.
    pub exit: Option<(u32, i64, i32)>,
    /// The runc that made it, if it is a native container.
    pub runc: Option<PathBuf>,
}

impl Record {
    /// Replaces the record in `bundle`.
    ///
    /// # Errors
    /// When the bundle cannot be written.
    pub fn write(&self, bundle: &Path) -> io::Result<()> {
        write_atomically(bundle, FILE, self.render().as_bytes())
    }

    /// Reads the record of `bundle`; `None` when there is none, or it is none of ours.
    #[must_use]
    pub fn read(bundle: &Path) -> Option<Self> {
        use std::io::Read;
        let mut text = Vec::new();
        let file = std::fs::File::open(bundle.join(FILE)).ok()?;
        file.take(MAX as u64).read_to_end(&mut text).ok()?;
        Self::parse(&text)
    }

    /// Removes the record: nothing is left to clean up.
    pub fn remove(bundle: &Path) {
        // Without it `delete` has less to do, and with it no more than it had before.
        let _ = std::fs::remove_file(bundle.join(FILE));
    }

    fn render(&self) -> String {
        let runc = self.runc.as_deref().and_then(Path::to_str);
        json!({"pid": self.pid, "born": self.born, "exit": self.exit, "runc": runc}).to_string()
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let exit = match value.get("exit")?.as_array().map(Vec::as_slice) {
            Some([status, seconds, nanos]) => Some((
                u32::try_from(status.as_u64()?).ok()?,
                seconds.as_i64()?,
                i32::try_from(nanos.as_i64()?).ok()?,
            )),
            _ => None,
        };
        Some(Self {
            pid: u32::try_from(value.get("pid")?.as_u64()?).ok()?,
            born: value.get("born")?.as_u64()?,
            exit,
            runc: value["runc"].as_str().map(PathBuf::from),
        })
    }
}

/// When a process was born: field 22 of `/proc/<pid>/stat` (proc_pid_stat(5)).
#[must_use]
pub fn born(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    start_time(&stat)
}

/// The second field, the program's name in parentheses, may hold anything, parentheses too.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Writes a file so that a reader sees all of it or nothing. Bundles are on a tmpfs, which needs no sync.
///
/// # Errors
/// When the directory cannot be written.
pub fn write_atomically(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary: PathBuf = directory.join(format!(".{name}.slipway"));
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, directory.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(directory.path()), None);
        for exit in [None, Some((137, 1_700_000_000, 5))] {
            for runc in [None, Some(PathBuf::from("/usr/sbin/runc"))] {
                let record = Record {
                    pid: 42,
                    born: 4711,
                    exit,
                    runc,
                };
                record.write(directory.path()).unwrap();
                assert_eq!(Record::read(directory.path()), Some(record));
            }
        }
        Record::remove(directory.path());
        assert_eq!(Record::read(directory.path()), None);
    }

    #[test]
    fn a_torn_or_foreign_record_is_none() {
        for text in ["", "{", "[]", r#"{"pid":-1,"born":1,"exit":null}"#] {
            assert_eq!(Record::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_start_time_stands_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 1";
        assert_eq!(start_time(stat), Some(12345));
        assert!(born(std::process::id()).is_some());
    }
}
