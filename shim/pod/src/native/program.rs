//! Where the node's runc is.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where runc is on nodes whose containerd is started with a short `PATH`, or none.
const USUAL: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// There is no runc.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// None was found.
    #[error(
        "this container is native, and runc, which would run it, is neither in containerd's PATH nor in the usual \
         places of this node: install runc"
    )]
    NotFound,
}

/// Finds runc: as containerd's shim would by `path`, else in the usual places.
///
/// # Errors
/// [`ProgramError`] says what to do.
pub fn find(path: Option<&OsStr>) -> Result<PathBuf, ProgramError> {
    let path = path.map(std::env::split_paths).into_iter().flatten();
    path.chain(USUAL.iter().map(PathBuf::from))
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("runc"))
        .find(|program| is_executable(program))
        .ok_or(ProgramError::NotFound)
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn path_is_searched_for_a_program() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("1"), folder.path().join("2"));
        for directory in [&first, &second] {
            std::fs::create_dir(directory).unwrap();
        }
        place(&first, "runc", 0o644);
        let expected = place(&second, "runc", 0o755);
        let path = std::env::join_paths([Path::new("relative"), &first, &second]).unwrap();
        assert_eq!(find(Some(&path)), Ok(expected));
    }
}
