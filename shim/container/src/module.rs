//! The wasm file a container runs.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, fstat, statx};
use slipway_shim_wire::{EXIT_NOT_FOUND, EXIT_NOT_RUNNABLE, Mount, Plan};

/// What a directory is called.
const DIRECTORY: &str = "a directory";

/// An open wasm file.
#[derive(Debug)]
pub struct OpenedModule {
    /// The file, for reading.
    pub file: File,
    /// Its path as the user gave it, without `#function`.
    pub path: PathBuf,
    /// Whether it lies on the container's root file system, not on a volume.
    pub on_rootfs: bool,
    /// The function after `#`, if one is named.
    pub function: Option<String>,
}

/// Why there is no wasm file to run. Each says what to do, for the container's log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// `args` is empty, or names no file.
    #[error(
        "no wasm file to run: {0}; set the container's command to the path of a .wasm file in the image"
    )]
    NoneNamed(&'static str),
    /// There is no such file.
    #[error("{}: no such file in the container{}", path.display(), hint(.cwd.as_deref()))]
    NotFound {
        /// As the user gave it.
        path: PathBuf,
        /// Where a relative path was looked for.
        cwd: Option<PathBuf>,
    },
    /// It is a directory, a device, ...
    #[error(
        "{}: is {kind}, not a file; set the container's command to the path of a .wasm file in the image",
        path.display()
    )]
    NotAFile {
        /// As the user gave it.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// It cannot be opened.
    #[error("{}: cannot be read: {source}", path.display())]
    NotReadable {
        /// As the user gave it.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

fn hint(cwd: Option<&Path>) -> String {
    cwd.map_or_else(String::new, |cwd| {
        format!(
            " (looked in PATH and the working directory {})",
            cwd.display()
        )
    })
}

impl ModuleError {
    /// Whether the module may still be a layer of the image: there is no such file in the root file system, or
    /// nothing that could be one is named.
    #[must_use]
    pub fn may_be_a_layer(&self) -> bool {
        match self {
            Self::NoneNamed(_) | Self::NotFound { .. } => true,
            Self::NotAFile { kind, .. } => *kind == DIRECTORY,
            Self::NotReadable { .. } => false,
        }
    }

    /// The status to exit with, as a shell would.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::NotFound { .. } => EXIT_NOT_FOUND,
            _ => EXIT_NOT_RUNNABLE,
        }
    }
}

/// Opens the file that `args[0]` names, from inside the container. A name without `/` is looked for in the
/// container's `PATH` and then in the working directory, as runwasi does.
///
/// # Errors
/// [`ModuleError`], a sentence for the user.
pub fn open_module(plan: &Plan) -> Result<OpenedModule, ModuleError> {
    let process = &plan.process;
    let Some(named) = process.args.first().filter(|named| !named.is_empty()) else {
        return Err(ModuleError::NoneNamed("the command is empty"));
    };
    let (path, function) = split(named);
    if path.is_empty() {
        return Err(ModuleError::NoneNamed(
            "the command has nothing before the #",
        ));
    }
    let given = PathBuf::from(path);
    let bare = !path.contains('/');
    let mut candidates: Vec<PathBuf> = Vec::new();
    if bare {
        candidates.extend(search_path(&process.env).map(|folder| folder.join(path)));
    }
    candidates.push(process.cwd.join(path));
    for candidate in &candidates {
        match open(candidate) {
            Ok(file) => {
                return check(file, &given).map(|file| OpenedModule {
                    on_rootfs: on_rootfs(&file),
                    file,
                    path: given,
                    function,
                });
            }
            Err(error) if absent(&error) => {}
            Err(source) => {
                return Err(ModuleError::NotReadable {
                    path: given,
                    source,
                });
            }
        }
    }
    Err(ModuleError::NotFound {
        path: given,
        cwd: bare.then(|| process.cwd.clone()),
    })
}

/// The command: the path before `#`, which may be empty, and the function after it.
#[must_use]
pub fn command(plan: &Plan) -> (&str, Option<String>) {
    split(plan.process.args.first().map_or("", String::as_str))
}

fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// `path#function`; an empty function is none.
fn split(named: &str) -> (&str, Option<String>) {
    match named.rsplit_once('#') {
        Some((path, "")) => (path, None),
        Some((path, function)) => (path, Some(function.to_owned())),
        None => (named, None),
    }
}

fn search_path(env: &[String]) -> impl Iterator<Item = &Path> {
    env.iter()
        .rev()
        .find_map(|entry| entry.strip_prefix("PATH="))
        .into_iter()
        .flat_map(|folders| folders.split(':'))
        .filter(|folder| folder.starts_with('/'))
        .map(Path::new)
}

/// Not blocking, since the path may name a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

fn check(file: File, given: &Path) -> Result<File, ModuleError> {
    let stat = fstat(&file).map_err(|error| ModuleError::NotReadable {
        path: given.to_owned(),
        source: error.into(),
    })?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(file),
        FileType::Directory => DIRECTORY,
        FileType::Fifo => "a FIFO",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    };
    Err(ModuleError::NotAFile {
        path: given.to_owned(),
        kind,
    })
}

/// By the id of the mount (Linux 5.8): overlayfs does not report one device for all its files. Where the
/// kernel cannot tell, no.
fn on_rootfs(file: &File) -> bool {
    let of_file = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID);
    let of_root = statx(CWD, "/", AtFlags::empty(), StatxFlags::MNT_ID);
    let (Ok(of_file), Ok(of_root)) = (of_file, of_root) else {
        return false;
    };
    let known = |mask: u32| mask & StatxFlags::MNT_ID.bits() != 0;
    known(of_file.stx_mask) && known(of_root.stx_mask) && of_file.stx_mnt_id == of_root.stx_mnt_id
}

/// The directories to preopen, as (path in the container, name for the guest).
///
/// With `root` it is the root alone. Every volume is below it, read-only ones enforced by the kernel; and wasi-libc
/// resolves absolute and relative paths against it, whereas a second preopen named `.` would take the absolute ones
/// too. Without, it is every directory that is mounted and that the user may open.
#[must_use]
pub fn preopens(plan: &Plan, root: bool) -> Vec<(PathBuf, String)> {
    if root {
        return vec![(PathBuf::from("/"), "/".to_owned())];
    }
    let opens = |path: &Path| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).is_ok()
    };
    let mut directories: Vec<_> = volumes(&plan.mounts)
        .filter(|path| opens(path))
        .filter_map(|path| Some((path.to_owned(), path.to_str()?.to_owned())))
        .collect();
    // What is mounted over what is the kernel's matter; a guest has one name for both.
    directories.sort();
    directories.dedup();
    directories
}

/// Where something is mounted that is neither the kernel's nor the container's devices.
fn volumes(mounts: &[Mount]) -> impl Iterator<Item = &Path> {
    const SYSTEM: [&str; 3] = ["/dev", "/proc", "/sys"];
    mounts
        .iter()
        .filter(|mount| matches!(mount.fstype.as_str(), "" | "bind" | "tmpfs"))
        .map(|mount| mount.target.as_path())
        .filter(|path| !SYSTEM.iter().any(|system| path.starts_with(system)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use slipway_shim_wire::Process;

    use super::*;

    fn plan(arg: &str, cwd: &Path, env: &[String]) -> Plan {
        Plan {
            process: Process {
                args: vec![arg.to_owned()],
                cwd: cwd.to_owned(),
                env: env.to_vec(),
                ..Process::default()
            },
            ..Plan::default()
        }
    }

    #[test]
    fn without_the_root_a_guest_sees_what_is_mounted_and_can_be_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("data")).unwrap();
        fs::write(path("file"), "").unwrap();
        let mount = |fstype: &str, target: PathBuf| Mount {
            fstype: fstype.into(),
            target,
            ..Mount::default()
        };
        let plan = Plan {
            mounts: vec![
                mount("proc", "/proc".into()),
                mount("tmpfs", "/dev".into()),
                mount("", "/dev/shm".into()),
                mount("", path("data")),
                mount("", path("file")),
                mount("", path("absent")),
                mount("overlay", path("data")),
            ],
            ..Plan::default()
        };
        let data = path("data");
        let named = data.to_str().unwrap().to_owned();
        assert_eq!(preopens(&plan, false), [(data, named)]);
        assert_eq!(preopens(&plan, true), [("/".into(), "/".to_owned())]);
    }

    #[test]
    fn absolute_relative_and_by_path() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("a.wasm"), "x").unwrap();
        let path = format!("PATH=/nowhere:{}", bin.display());
        for (arg, env) in [
            (bin.join("a.wasm").to_str().unwrap(), vec![]),
            ("bin/a.wasm#run", vec![]),
            ("a.wasm#", vec![path]),
        ] {
            let opened = open_module(&plan(arg, folder.path(), &env)).unwrap();
            assert_eq!(
                opened.function.as_deref(),
                arg.ends_with("#run").then_some("run")
            );
            assert_eq!(opened.path, Path::new(arg.split('#').next().unwrap()));
        }
    }

    #[test]
    fn each_failure_is_one_sentence_with_its_exit_code() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path();
        let fails = |arg: &str| {
            let error = open_module(&plan(arg, cwd, &[])).unwrap_err();
            assert_eq!(error.may_be_a_layer(), arg != "/dev/null", "{arg}");
            (error.exit_code(), error.to_string())
        };
        let (code, text) = fails("/no.wasm");
        assert_eq!(
            (code, &*text),
            (127, "/no.wasm: no such file in the container")
        );
        assert!(
            fails("no.wasm")
                .1
                .contains("looked in PATH and the working directory")
        );
        let (code, text) = fails("/");
        assert_eq!(code, 126);
        assert!(text.starts_with("/: is a directory, not a file; set the container's command"));
        assert!(
            fails("")
                .1
                .starts_with("no wasm file to run: the command is empty")
        );
        assert!(fails("#f").1.starts_with("no wasm file to run"));
        assert_eq!(
            fails("/dev/null").1.split(';').next().unwrap(),
            "/dev/null: is a device, not a file"
        );
    }

    #[test]
    fn a_file_on_another_mount_is_told_apart() {
        assert!(!on_rootfs(&File::open("/proc/self/status").unwrap()));
        assert!(on_rootfs(&File::open("/").unwrap()));
    }
}
