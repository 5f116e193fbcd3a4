//! What strangers have packed: a binary as it is, or the one and its neighbours of a tar, compressed or not.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry};

use super::{FetchError, io_error};
use crate::failure::Reason;
use crate::payload::source;
use crate::spec;

/// Most entries of an archive, folders and documentation included.
const MAX_ENTRIES: usize = 4096;

/// Where a tar says what it is (POSIX ustar, `magic`).
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It does not read as one.
    #[error("the archive cannot be read: {0}")]
    Damaged(io::Error),
    /// Neither a binary nor an archive.
    #[error("the download is neither an ELF binary nor a tar archive, plain or gzipped")]
    Unknown,
    /// A path that leads elsewhere.
    #[error("the archive holds {0:?}, a path that leads out of it: nothing of it was taken")]
    Path(PathBuf),
    /// A link, a device and the like.
    #[error("the archive holds {path:?}, which is {kind}: only files and folders are taken")]
    Kind {
        /// Its path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// No such binary.
    #[error("the archive holds no file {0}")]
    NoBinary(String),
    /// More than one.
    #[error("the archive holds {binary} more than once, as {first:?} and {second:?}")]
    Twice {
        /// The binary.
        binary: String,
        /// One of them.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// A name that no payload has.
    #[error("the archive holds {path:?} beside the shim: {why}")]
    Name {
        /// Its path.
        path: PathBuf,
        /// In words.
        why: String,
    },
    /// Too many entries, or too many files beside the shim.
    #[error("the archive holds more than {0} entries")]
    TooMany(usize),
    /// A bomb.
    #[error("the archive unpacks to more than {0} bytes")]
    TooLarge(u64),
    /// The shim is no program.
    #[error("{0} is no ELF binary")]
    NotElf(String),
}

impl Reason for ArchiveError {
    fn reason(&self) -> &'static str {
        "ArchiveRefused"
    }
}

enum Format {
    Elf,
    Tar,
    Gzip,
}

/// Unpacks a download into a folder: the binary, and what lies beside it in the archive. Anything in the archive that
/// is not a plain file or folder inside it refuses the whole.
///
/// # Errors
/// When it is refused, or the folder takes no more. Files may be left in the folder then.
pub fn unpack(download: &Path, binary: &str, into: &Path, most: u64) -> Result<(), FetchError> {
    let mut file = File::open(download).map_err(io_error("open", download))?;
    match format(&mut file)? {
        Format::Elf => {
            let target = into.join(binary);
            fs::rename(download, &target).map_err(io_error("create", &target))?;
            set_mode(&target)?;
        }
        Format::Tar => from_tar(&file, |file| Box::new(file), binary, into, most)?,
        Format::Gzip => {
            let unzip =
                |file| Box::new(MultiGzDecoder::new(io::BufReader::new(file))) as Box<dyn Read>;
            from_tar(&file, unzip, binary, into, most)?;
        }
    }
    check_binaries(binary, into)
}

/// By its first bytes: names of files in addresses say little.
fn format(file: &mut File) -> Result<Format, ArchiveError> {
    let mut head = Vec::new();
    let read = file.take(512).read_to_end(&mut head);
    read.map_err(ArchiveError::Damaged)?;
    file.rewind().map_err(ArchiveError::Damaged)?;
    let (at, magic) = TAR_MAGIC;
    if head.starts_with(b"\x7fELF") {
        Ok(Format::Elf)
    } else if head.starts_with(b"\x1f\x8b") {
        Ok(Format::Gzip)
    } else if head.get(at..at + magic.len()) == Some(magic) {
        Ok(Format::Tar)
    } else {
        Err(ArchiveError::Unknown)
    }
}

/// Two passes: the first looks at every entry and finds the binary, the second writes it and its neighbours.
fn from_tar<'f>(
    file: &'f File,
    open: impl Fn(&'f File) -> Box<dyn Read + 'f>,
    binary: &str,
    into: &Path,
    most: u64,
) -> Result<(), FetchError> {
    let read = |file: &'f File| {
        let mut rewound = file;
        rewound.rewind().map_err(ArchiveError::Damaged)?;
        Ok::<_, ArchiveError>(Bounded {
            inner: open(file),
            left: most,
        })
    };
    let mut found: Option<PathBuf> = None;
    each(Archive::new(read(file)?), most, |path, _| {
        if path.file_name().is_some_and(|name| name == binary)
            && let Some(first) = found.replace(path.to_owned())
        {
            return Err(ArchiveError::Twice {
                binary: binary.to_owned(),
                first,
                second: path.to_owned(),
            }
            .into());
        }
        Ok(())
    })?;
    let found = found.ok_or_else(|| ArchiveError::NoBinary(binary.to_owned()))?;
    let mut names = BTreeSet::new();
    each(Archive::new(read(file)?), most, |path, entry| {
        if path.parent() != found.parent() {
            return Ok(());
        }
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let refused = |why: String| ArchiveError::Name {
            path: path.to_owned(),
            why,
        };
        spec::file_name(name).map_err(refused)?;
        if !names.insert(name.to_owned()) {
            return Err(refused("it comes twice".to_owned()).into());
        }
        if names.len() > source::MAX_FILES {
            return Err(ArchiveError::TooMany(source::MAX_FILES).into());
        }
        write(entry, &into.join(name), most)
    })
}

/// Shows every file of an archive, and refuses what is none.
fn each<R: Read>(
    mut archive: Archive<R>,
    most: u64,
    mut show: impl FnMut(&Path, &mut Entry<'_, R>) -> Result<(), FetchError>,
) -> Result<(), FetchError> {
    let damaged = |error: io::Error| FetchError::from(damage(error, most));
    for (count, entry) in archive.entries().map_err(damaged)?.enumerate() {
        if count == MAX_ENTRIES {
            return Err(ArchiveError::TooMany(MAX_ENTRIES).into());
        }
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if !path.components().all(inside) {
            return Err(ArchiveError::Path(path).into());
        }
        let kind = entry.header().entry_type();
        let refused = match kind {
            kind if kind.is_file() || kind.is_contiguous() => None,
            // Folders need not be made, and the rest is about the archive itself.
            kind if kind.is_dir() || kind.is_pax_global_extensions() => continue,
            kind if kind.is_symlink() => Some("a symbolic link"),
            kind if kind.is_hard_link() => Some("a hard link"),
            kind if kind.is_character_special() || kind.is_block_special() => Some("a device"),
            kind if kind.is_fifo() => Some("a named pipe"),
            _ => Some("of an unknown kind"),
        };
        if let Some(kind) = refused {
            return Err(ArchiveError::Kind { path, kind }.into());
        }
        let path: PathBuf = path
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        show(&path, &mut entry)?;
    }
    Ok(())
}

fn write(entry: &mut impl Read, target: &Path, most: u64) -> Result<(), FetchError> {
    let mut file = File::create_new(target).map_err(io_error("create", target))?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let n = entry
            .read(&mut buffer)
            .map_err(|error| damage(error, most))?;
        if n == 0 {
            break;
        }
        io::Write::write_all(&mut file, &buffer[..n]).map_err(io_error("write", target))?;
    }
    file.sync_all().map_err(io_error("write", target))?;
    set_mode(target)
}

fn set_mode(path: &Path) -> Result<(), FetchError> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(io_error("change the mode of", path))
}

/// The shim must be a program, and nothing in its folder one for another machine.
fn check_binaries(binary: &str, folder: &Path) -> Result<(), FetchError> {
    let mut magic = Vec::new();
    let path = folder.join(binary);
    let read = File::open(&path).and_then(|file| file.take(4).read_to_end(&mut magic));
    read.map_err(io_error("read", &path))?;
    if magic != b"\x7fELF" {
        return Err(ArchiveError::NotElf(binary.to_owned()).into());
    }
    source::read(folder, binary)?;
    Ok(())
}

/// What lets through no more than so many bytes, however well they were packed.
struct Bounded<R> {
    inner: R,
    left: u64,
}

/// The text of the error that says so.
const EXCEEDED: &str = "more bytes than are allowed";

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, EXCEEDED))?;
        Ok(n)
    }
}

fn damage(error: io::Error, most: u64) -> ArchiveError {
    if error.to_string().contains(EXCEEDED) {
        ArchiveError::TooLarge(most)
    } else {
        ArchiveError::Damaged(error)
    }
}
