//! Paths inside a container's root file system, resolved so that no link leads out of it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

/// As many links as the kernel follows in one path (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// How often a lookup that raced with a rename is tried again (openat2(2), EAGAIN).
const MAX_RACES: usize = 64;

/// The root directory of a container, by descriptor.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    /// User and group, on the node, of what is made here; `None` for whoever makes it.
    owner: Option<(u32, u32)>,
}

/// What to make at the end of a path if nothing is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Directory,
    File,
}

impl Root {
    /// The directory at `path` as it is mounted now. What is missing in it will be made for `owner`.
    pub(crate) fn open(path: &Path, owner: Option<(u32, u32)>) -> Result<Self, Errno> {
        let directory = rustix::fs::open(
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self { directory, owner })
    }

    /// The file or directory at `path`, links followed inside the root only.
    pub(crate) fn find(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let mut races = 0;
        loop {
            let found = openat2(
                &self.directory,
                path,
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            );
            match found {
                Err(Errno::AGAIN | Errno::INTR) if races < MAX_RACES => races += 1,
                found => return found,
            }
        }
    }

    /// As [`Root::find`], making what is missing, parents included.
    pub(crate) fn find_or_make(&self, path: &Path, missing: Missing) -> Result<OwnedFd, Errno> {
        match self.find(path) {
            Err(Errno::NOENT) => self.make(path, missing),
            found => found,
        }
    }

    /// The directory that holds `path`, made if missing, and the last name.
    pub(crate) fn parent<'a>(&self, path: &'a Path) -> Result<(OwnedFd, &'a OsStr), Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok((self.find_or_make(parent, Missing::Directory)?, name))
    }

    /// Walks `path` one component at a time, each opened without following links; links are followed by
    /// hand. `..` goes back to the directory we came from, so renames meanwhile do not matter.
    fn make(&self, path: &Path, missing: Missing) -> Result<OwnedFd, Errno> {
        let mut above: Vec<OwnedFd> = Vec::new();
        let mut rest: VecDeque<OsString> = names(path).collect();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                above.pop();
                continue;
            }
            let here = above.last().map_or(self.directory.as_fd(), AsFd::as_fd);
            let last = rest.is_empty();
            let stat = match statat(here, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Some(stat),
                Err(Errno::NOENT) => None,
                Err(error) => return Err(error),
            };
            match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Some(FileType::Symlink) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    let target = readlinkat(here, &name, Vec::new())?;
                    let target = Path::new(OsStr::from_bytes(target.to_bytes()));
                    if target.is_absolute() {
                        above.clear();
                    }
                    for name in names(target).collect::<Vec<_>>().into_iter().rev() {
                        rest.push_front(name);
                    }
                    continue;
                }
                Some(_) => {}
                None if last && missing == Missing::File => self.make_one(here, &name, missing)?,
                None => self.make_one(here, &name, Missing::Directory)?,
            }
            let next = openat(
                here,
                &name,
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            above.push(next);
        }
        match above.pop() {
            Some(found) => Ok(found),
            None => self.directory.try_clone().map_err(|_| Errno::MFILE),
        }
    }

    /// For the owner where it may, so that nothing has to change hands by name; else for the node's root.
    fn make_one(&self, here: BorrowedFd<'_>, name: &OsStr, what: Missing) -> Result<(), Errno> {
        let Some(owner) = self.owner else {
            return create(here, name, what);
        };
        match acting_as(owner, || create(here, name, what)) {
            Err(Errno::ACCESS | Errno::PERM | Errno::OVERFLOW) => create(here, name, what),
            done => done,
        }
    }
}

fn create(here: BorrowedFd<'_>, name: &OsStr, what: Missing) -> Result<(), Errno> {
    match what {
        Missing::Directory => mkdirat(here, name, Mode::from_raw_mode(0o755)),
        Missing::File => openat(
            here,
            name,
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o644),
        )
        .map(drop),
    }
}

/// Makes files as another user would (setfsuid(2)).
fn acting_as<T>((uid, gid): (u32, u32), make: impl FnOnce() -> T) -> T {
    // SAFETY: plain system calls for this thread; root may take on any identity and its own again.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
    let made = make();
    // SAFETY: as above.
    unsafe {
        libc::setfsuid(0);
        libc::setfsgid(0);
    }
    made
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// The names a path is made of, `..` kept, `.` and `/` left out.
fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn real(descriptor: &OwnedFd) -> String {
        let link = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(descriptor)
        );
        fs::read_link(link).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn links_stay_below_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        fs::create_dir(base.join("etc")).unwrap();
        symlink("/etc", base.join("absolute")).unwrap();
        symlink("../../../../etc", base.join("relative")).unwrap();
        let root = Root::open(&base, None).unwrap();
        let expected = base.join("etc").to_str().unwrap().to_owned();
        for path in ["/absolute", "/relative", "/../../etc"] {
            assert_eq!(
                real(&root.find(Path::new(path)).unwrap()),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_made_below_the_root_through_dangling_links() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        fs::create_dir(base.join("var")).unwrap();
        symlink("/run", base.join("var/run")).unwrap();
        symlink(
            "../../../tmp/slipway-escape/resolv.conf",
            base.join("resolv"),
        )
        .unwrap();
        let root = Root::open(&base, None).unwrap();

        let secrets = Path::new("/var/run/secrets/token");
        let made = root.find_or_make(secrets, Missing::Directory).unwrap();
        assert_eq!(
            real(&made),
            base.join("run/secrets/token").to_str().unwrap()
        );

        let made = root
            .find_or_make(Path::new("/resolv"), Missing::File)
            .unwrap();
        let expected = base.join("tmp/slipway-escape/resolv.conf");
        assert_eq!(real(&made), expected.to_str().unwrap());
        assert!(expected.is_file());
        assert!(!Path::new("/tmp/slipway-escape").exists());
    }

    #[test]
    fn a_loop_of_links_ends() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a/x", folder.path().join("b")).unwrap();
        let root = Root::open(folder.path(), None).unwrap();
        assert_eq!(
            root.make(Path::new("/a/y"), Missing::File).unwrap_err(),
            Errno::LOOP
        );
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        let root = Root::open(folder.path(), None).unwrap();
        let found = root.find_or_make(Path::new("/a/b"), Missing::Directory);
        assert_eq!(found.unwrap_err(), Errno::NOTDIR);
    }
}
