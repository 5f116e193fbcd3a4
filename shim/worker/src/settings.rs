//! `wasi:config`: the container's variables, and files that are mounted for it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use wasmtime_wasi_config::WasiConfigVariables;

use crate::Invocation;

/// Where a ConfigMap or a Secret is mounted whose keys a guest is to read: each file is a key, its content the
/// value. A file wins over a variable of its name.
pub(crate) const FOLDER: &str = "/etc/wasi-config";

/// As many files as are read, and as many bytes of all of them; a ConfigMap holds a megabyte.
const MOST_FILES: usize = 1024;
const MOST_BYTES: u64 = 4 << 20;

/// A value that cannot be offered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: is not UTF-8, which values of wasi:config are; mount it elsewhere", .0.display())]
    NotText(PathBuf),
    #[error("{}: holds more than {MOST_FILES} files or {} MiB, the most that wasi:config offers", .0.display(),
        MOST_BYTES >> 20)]
    TooMuch(PathBuf),
}

/// Collects what a guest may ask for.
///
/// # Errors
/// [`ConfigError`] names the file.
pub(crate) fn collect(
    invocation: &Invocation,
    folder: &Path,
) -> Result<WasiConfigVariables, ConfigError> {
    let mut values = WasiConfigVariables::new();
    for (name, value) in &invocation.env {
        values.insert(name, value);
    }
    for (name, value) in files(folder)? {
        values.insert(name, value);
    }
    Ok(values)
}

fn files(folder: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let reading = |path: &Path| {
        let path = path.to_owned();
        move |source| ConfigError::Read { path, source }
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(reading(folder)(error)),
    };
    let mut found = Vec::new();
    let mut left = MOST_BYTES;
    for entry in entries {
        let entry = entry.map_err(reading(folder))?;
        let path = entry.path();
        // The kubelet keeps versions of a volume in `..data` and the like (pkg/volume/util/atomic_writer.go).
        let Some(name) = entry
            .file_name()
            .to_str()
            .filter(|name| !name.starts_with(".."))
            .map(str::to_owned)
        else {
            continue;
        };
        // Through the kubelet's links; a folder is no value, and a FIFO would hold the container up.
        if !fs::metadata(&path).map_err(reading(&path))?.is_file() {
            continue;
        }
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(left + 1).read_to_end(&mut bytes))
            .map_err(reading(&path))?;
        left = left
            .checked_sub(bytes.len() as u64)
            .filter(|_| found.len() < MOST_FILES)
            .ok_or_else(|| ConfigError::TooMuch(folder.to_owned()))?;
        let value = String::from_utf8(bytes).map_err(|_| ConfigError::NotText(path))?;
        found.push((name, value));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<(String, String)> {
        let mut found = files(folder).unwrap();
        found.sort();
        found
    }

    #[test]
    fn a_mounted_config_map_is_read_through_its_links() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        fs::create_dir(folder.join("..2026")).unwrap();
        fs::write(folder.join("..2026/greeting"), "hello\n").unwrap();
        symlink("..2026", folder.join("..data")).unwrap();
        symlink("..data/greeting", folder.join("greeting")).unwrap();
        fs::create_dir(folder.join("folder")).unwrap();
        assert_eq!(
            names(folder),
            [("greeting".to_owned(), "hello\n".to_owned())]
        );
        assert!(names(&folder.join("absent")).is_empty());
    }

    #[test]
    fn what_cannot_be_offered_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key");
        fs::write(&path, [0xff]).unwrap();
        let error = files(root.path()).unwrap_err().to_string();
        assert!(error.contains("key: is not UTF-8"), "{error}");
        File::create(&path)
            .unwrap()
            .set_len(MOST_BYTES + 1)
            .unwrap();
        let error = files(root.path()).unwrap_err().to_string();
        assert!(
            error.contains("holds more than 1024 files or 4 MiB"),
            "{error}"
        );
    }
}
