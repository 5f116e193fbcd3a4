//! Whether a container's program is native, found as execvp(3) would find it inside the container.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use slipway_shim_wire::Probe;

use crate::SetupError;
use crate::error::While;
use crate::mount_api::{attach, copy};
use crate::mounts;
use crate::root::Root;
use crate::rootfs;
use crate::user::Users;

/// What tells a program of this machine's, and a script.
const NATIVE: [&[u8]; 2] = [b"\x7fELF", b"#!"];

/// Looks whether the program that `probe` names is native. If so, the root file system is mounted at its path in
/// the caller's mount namespace, once: what was looked at is what stays. The process has to have one thread and be
/// root.
///
/// # Errors
/// [`SetupError`] when the root file system cannot be mounted. A program that is not there is no error: what is not
/// native is for the Wasm side, which says what is wrong with it.
pub fn probe(probe: &Probe) -> Result<bool, SetupError> {
    let outside = File::open("/proc/self/ns/mnt").when(|| "open the mount namespace".to_owned())?;
    // SAFETY: unsharing files or signal handlers would be unsound beside other threads; this flag is a namespace.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .when(|| "make a mount namespace".to_owned())?;
    let users = probe.user_namespace.as_ref().map(Users::open);
    let users = users.transpose()?;
    let root = rootfs::mount(&probe.rootfs, users.as_ref())?;
    // Before the volumes: runc mounts those by itself.
    let tree = copy(&probe.rootfs.path, true)
        .when(|| format!("copy the mount of {}", probe.rootfs.path.display()))?;
    mounts::make(&root, &probe.volumes, None)?;
    let native = find(&root, &probe.candidates)
        .is_some_and(|program| is_native(&program).unwrap_or_default());
    // Whoever uses the directory as it is has it there already.
    if native && !probe.rootfs.mounts.is_empty() {
        move_into_link_name_space(outside.as_fd(), Some(LinkNameSpaceType::Mount))
            .when(|| "go back to the node's mount namespace".to_owned())?;
        rustix::fs::open(
            &probe.rootfs.path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .and_then(|place| attach(&tree, place))
        .when(|| {
            format!(
                "mount the root file system on {}",
                probe.rootfs.path.display()
            )
        })?;
    }
    Ok(native)
}

/// The first of `candidates` that is an executable file; without one, the first that is a file, for runc to refuse.
fn find(root: &Root, candidates: &[PathBuf]) -> Option<OwnedFd> {
    let mut not_executable = None;
    for candidate in candidates {
        let Ok(found) = root.find(candidate) else {
            continue;
        };
        match fstat(&found) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                if stat.st_mode & 0o111 != 0 {
                    return Some(found);
                }
                not_executable.get_or_insert(found);
            }
            Ok(_) | Err(_) => {}
        }
    }
    not_executable
}

/// Looks at the first bytes of a file known by a descriptor that cannot read.
fn is_native(program: &OwnedFd) -> io::Result<bool> {
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    let mut bytes = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut bytes)?;
    Ok(NATIVE.iter().any(|magic| bytes.starts_with(magic)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn looked_at(folder: &tempfile::TempDir, candidates: &[&str]) -> Option<bool> {
        let root = Root::open(folder.path(), None).unwrap();
        let candidates: Vec<PathBuf> = candidates.iter().map(PathBuf::from).collect();
        find(&root, &candidates).map(|program| is_native(&program).unwrap())
    }

    fn put(folder: &tempfile::TempDir, name: &str, bytes: &[u8], mode: u32) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_first_bytes_tell() {
        let folder = tempfile::tempdir().unwrap();
        for (bytes, native) in [
            (&b"\x7fELF\x02\x01"[..], true),
            (b"#!/bin/sh\n", true),
            (b"\0asm\x01\0\0\0", false),
            (b"(module)", false),
            (b"#", false),
            (b"", false),
        ] {
            put(&folder, "app", bytes, 0o755);
            assert_eq!(looked_at(&folder, &["/app"]), Some(native), "{bytes:?}");
        }
        assert_eq!(looked_at(&folder, &["/none"]), None);
    }

    #[test]
    fn an_executable_further_on_goes_before_a_file_that_is_none() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder, "a/app", b"\0asm", 0o644);
        put(&folder, "b/app", b"#!/bin/sh\n", 0o755);
        fs::create_dir(folder.path().join("app")).unwrap();
        assert_eq!(
            looked_at(&folder, &["/app", "/a/app", "/b/app"]),
            Some(true)
        );
        assert_eq!(looked_at(&folder, &["/app", "/a/app"]), Some(false));
    }

    #[test]
    fn links_stay_inside() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/bin/sh", folder.path().join("app")).unwrap();
        assert_eq!(looked_at(&folder, &["/app"]), None);
        put(&folder, "bin/sh", b"\0asm", 0o755);
        assert_eq!(looked_at(&folder, &["/app"]), Some(false));
    }
}
