//! The files that CRI-O reads, in the order in which it does: the root file, then every file of the drop-in folder and of
//! the folders in it, by name (`UpdateFromPath`, `pkg/config`@v1.34.0, on Go's `filepath.Walk`).

use std::fs;
use std::path::{Path, PathBuf};

use crate::containerd::document;
use crate::containerd::imports::{ImportError, MAX_FILES, Source};
use crate::host::HostRoot;
use crate::host::files::{self, MAX_CONFIG_BYTES, io_error};

/// Reads them.
///
/// # Errors
/// When one cannot be read, is no text, or does not parse, as for CRI-O itself.
pub fn load(root: &HostRoot, config: &Path, folder: &Path) -> Result<Vec<Source>, ImportError> {
    let mut paths = vec![config.to_owned()];
    walk(root, folder, &mut paths)?;
    if paths.len() > MAX_FILES {
        return Err(ImportError::TooMany(folder.to_owned()));
    }
    let mut sources = Vec::new();
    for path in paths {
        let Some((bytes, _)) = files::read(&root.locate(&path)?, MAX_CONFIG_BYTES)? else {
            continue;
        };
        let text = document::decode(&path, bytes)?;
        document::parse(&path, &text)?;
        sources.push(Source { path, text });
    }
    Ok(sources)
}

fn walk(root: &HostRoot, folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), ImportError> {
    let local = root.locate(folder)?;
    if !local.exists() || paths.len() > MAX_FILES {
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(&local).map_err(io_error("list", &local))? {
        let entry = entry.map_err(io_error("list", &local))?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        entries.push((entry.file_name(), is_folder));
    }
    entries.sort();
    for (name, is_folder) in entries {
        let path = folder.join(name);
        if is_folder {
            walk(root, &path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_read_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("etc/crio/crio.conf.d");
        fs::create_dir_all(folder.join("20-more")).unwrap();
        for name in ["30-c", "10-a.conf", "20-more/z", ".hidden"] {
            fs::write(folder.join(name), "# one\n").unwrap();
        }
        let root = HostRoot::new(dir.path()).unwrap();
        let load = || {
            load(
                &root,
                Path::new("/etc/crio/crio.conf"),
                Path::new("/etc/crio/crio.conf.d"),
            )
        };
        let names: Vec<String> = load()
            .unwrap()
            .into_iter()
            .map(|source| {
                source
                    .path
                    .to_string_lossy()
                    .replace("/etc/crio/crio.conf.d/", "")
            })
            .collect();
        assert_eq!(names, [".hidden", "10-a.conf", "20-more/z", "30-c"]);

        fs::write(folder.join("40-bad.conf.bak"), "[crio\n").unwrap();
        assert!(matches!(load(), Err(ImportError::Document(_))));
    }
}
