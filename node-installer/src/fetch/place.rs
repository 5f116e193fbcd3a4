//! Where a download is unpacked: a folder beside its destination, which goes with everything in it unless all went well.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{FetchError, io_error};
use crate::host::files;

/// A folder inside the destination, so that its files can be renamed into it.
pub(super) struct Place {
    out: PathBuf,
    temp: TempDir,
}

impl Place {
    /// In a destination, which is made if it is not there.
    pub(super) fn in_folder(out: &Path) -> Result<Self, FetchError> {
        fs::create_dir_all(out).map_err(io_error("create", out))?;
        // What a killed run left. The next command takes every file of the folder for the payload.
        files::sweep(out);
        let temp = tempfile::Builder::new()
            .prefix(".slipway-")
            .suffix(".tmp")
            .tempdir_in(out)
            .map_err(io_error("write to", out))?;
        let place = Self {
            out: out.to_owned(),
            temp,
        };
        let unpacked = place.unpacked();
        fs::create_dir(&unpacked).map_err(io_error("create", &unpacked))?;
        Ok(place)
    }

    /// Where the download goes.
    pub(super) fn download(&self) -> PathBuf {
        self.temp.path().join("download")
    }

    /// Where its files go.
    pub(super) fn unpacked(&self) -> PathBuf {
        self.temp.path().join("unpacked")
    }

    /// Moves the files to where they are wanted, and returns their names.
    pub(super) fn finish(self) -> Result<Vec<String>, FetchError> {
        let unpacked = self.unpacked();
        let mut names = Vec::new();
        for entry in fs::read_dir(&unpacked).map_err(io_error("read", &unpacked))? {
            let entry = entry.map_err(io_error("read", &unpacked))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        for (at, name) in names.iter().enumerate() {
            let target = self.out.join(name);
            if let Err(error) = fs::rename(unpacked.join(name), &target) {
                for moved in &names[..at] {
                    let _ = fs::remove_file(self.out.join(moved));
                }
                return Err(io_error("create", &target)(error));
            }
        }
        Ok(names)
    }
}
