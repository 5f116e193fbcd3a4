//! The payload as it comes in the installer's image.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::digest;
use crate::failure::Reason;

/// More files than any payload has.
pub const MAX_FILES: usize = 64;

/// A folder of binaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Of all names and contents: `sha256` over the sorted lines `name NUL sha256 LF`.
    pub digest: String,
    /// The files, sorted by name.
    pub files: Vec<PayloadFile>,
}

/// A binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadFile {
    /// Its name.
    pub name: String,
    /// Where it is read from.
    pub path: PathBuf,
    /// Of its content.
    pub sha256: String,
}

/// Why a payload cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// It cannot be read.
    #[error("cannot read the payload {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// There is no shim in it.
    #[error("the payload {folder} holds no {shim}")]
    NoShim {
        /// The folder.
        folder: PathBuf,
        /// The file that should be in it.
        shim: String,
    },
    /// Something in it is not a plain file.
    #[error("{0} in the payload is not a regular file with a plain name")]
    NotAFile(PathBuf),
    /// Too much in it.
    #[error("the payload {0} holds more than {MAX_FILES} files")]
    TooMany(PathBuf),
    /// Made for another machine.
    #[error(
        "{path} is built for {found}, and this machine is {machine}: use the image of its architecture"
    )]
    WrongArchitecture {
        /// The binary.
        path: PathBuf,
        /// What it is for.
        found: String,
        /// What this is.
        machine: String,
    },
}

impl Reason for PayloadError {
    fn reason(&self) -> &'static str {
        match self {
            Self::WrongArchitecture { .. } => "WrongArchitecture",
            _ => "PayloadUnusable",
        }
    }
}

/// Reads a payload, of which one file is the shim, and checks that it is for this machine.
pub fn read(folder: &Path, shim: &str) -> Result<Payload, PayloadError> {
    let failed = |source| PayloadError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .map(str::to_owned);
        let (Some(name), true) = (
            name,
            path.symlink_metadata().is_ok_and(|meta| meta.is_file()),
        ) else {
            return Err(PayloadError::NotAFile(path));
        };
        if files.len() == MAX_FILES {
            return Err(PayloadError::TooMany(folder.to_owned()));
        }
        let unreadable = |source| PayloadError::Read {
            path: path.clone(),
            source,
        };
        check_architecture(&path)?;
        let sha256 = File::open(&path)
            .and_then(digest::of_reader)
            .map_err(unreadable)?;
        files.push(PayloadFile { name, path, sha256 });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if !files.iter().any(|file| file.name == shim) {
        return Err(PayloadError::NoShim {
            folder: folder.to_owned(),
            shim: shim.to_owned(),
        });
    }
    let list: String = files
        .iter()
        .map(|file| format!("{}\0{}\n", file.name, file.sha256))
        .collect();
    Ok(Payload {
        digest: digest::of_bytes(list.as_bytes()),
        files,
    })
}

/// An ELF of another machine is refused by name; whether anything else runs, the probe on the host shows.
pub fn check_architecture(path: &Path) -> Result<(), PayloadError> {
    let machine = rustix::system::uname()
        .machine()
        .to_string_lossy()
        .into_owned();
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(20).read_to_end(&mut head))
        .map_err(|source| PayloadError::Read {
            path: path.to_owned(),
            source,
        })?;
    match elf_machine(&head) {
        Some(found) if found != machine => Err(PayloadError::WrongArchitecture {
            path: path.to_owned(),
            found: found.to_owned(),
            machine,
        }),
        _ => Ok(()),
    }
}

/// The machine of an ELF file by its header (`e_machine`, elf(5)), as `uname -m` says it.
fn elf_machine(head: &[u8]) -> Option<&'static str> {
    if !head.starts_with(b"\x7fELF") || head.len() < 20 {
        return None;
    }
    let value = [head[18], head[19]];
    let value = if head[5] == 2 {
        u16::from_be_bytes(value)
    } else {
        u16::from_le_bytes(value)
    };
    Some(match value {
        62 => "x86_64",
        183 => "aarch64",
        40 => "arm",
        243 => "riscv64",
        21 => "ppc64le",
        22 => "s390x",
        _ => "another architecture",
    })
}

#[cfg(test)]
mod tests {
    use super::super::SHIM;
    use super::*;

    #[test]
    fn the_digest_is_of_names_and_contents() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(SHIM), "shim").unwrap();
        fs::write(dir.path().join("a-worker"), "worker").unwrap();
        let payload = read(dir.path(), SHIM).unwrap();
        let expected = format!(
            "a-worker\0{}\n{SHIM}\0{}\n",
            digest::of_bytes(b"worker"),
            digest::of_bytes(b"shim")
        );
        assert_eq!(payload.digest, digest::of_bytes(expected.as_bytes()));
    }

    #[test]
    fn a_payload_without_a_shim_or_with_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            read(dir.path(), SHIM),
            Err(PayloadError::NoShim { .. })
        ));
        std::os::unix::fs::symlink("/bin/sh", dir.path().join(SHIM)).unwrap();
        assert!(matches!(
            read(dir.path(), SHIM),
            Err(PayloadError::NotAFile(_))
        ));
        assert!(matches!(
            read(&dir.path().join("none"), SHIM),
            Err(PayloadError::Read { .. })
        ));
    }

    #[test]
    fn a_binary_of_another_architecture_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
        elf.extend(22u16.to_le_bytes());
        fs::write(dir.path().join(SHIM), elf).unwrap();
        let error = read(dir.path(), SHIM).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("is built for s390x, and this machine is "),
            "{error}"
        );
    }
}
