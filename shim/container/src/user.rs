//! User namespaces (`hostUsers: false`).
//!
//! A worker mounts everything as the node's root and enters the user namespace last: nothing it mounted is then its own
//! to change, and no file system has to allow being mounted by others. The sandbox enters first, so that the pod's
//! other namespaces belong to the pod's root, as runc makes them: native containers of the pod rely on it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::{
    LinkNameSpaceType, move_into_link_name_space, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};
use slipway_shim_wire::{IdMap, IdMapped, IdMaps, UserNamespace};

use crate::SetupError;
use crate::error::While;

/// A pod's user namespace, open.
#[derive(Debug)]
pub(crate) struct Users {
    namespace: OwnedFd,
    maps: IdMaps,
}

impl Users {
    /// Opens the one there is, or makes one. The node's `/proc` has to be mounted.
    pub(crate) fn open(wanted: &UserNamespace) -> Result<Self, SetupError> {
        let namespace = match &wanted.path {
            Some(path) => rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .when(|| format!("open the user namespace {}", path.display()))?,
            None => create(&wanted.maps).when(|| "make a user namespace".to_owned())?,
        };
        Ok(Self {
            namespace,
            maps: wanted.maps.clone(),
        })
    }

    /// Enters it, for good.
    pub(crate) fn enter(&self) -> Result<(), SetupError> {
        move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::User))
            .when(|| "join the user namespace".to_owned())
    }

    /// Enters it and becomes its root: settings of namespaces that it owns are its root's to write.
    pub(crate) fn enter_as_root(&self) -> Result<(), SetupError> {
        self.enter()?;
        if self.root().is_none() {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
        set_thread_groups(&[])
            .and_then(|()| set_thread_res_gid(gid, gid, gid))
            .and_then(|()| set_thread_res_uid(uid, uid, uid))
            .when(|| "become root of the user namespace".to_owned())
    }

    /// Who root of the pod is on the node, if it is anybody.
    pub(crate) fn root(&self) -> Option<(u32, u32)> {
        self.owner(0, 0)
    }

    /// Who a user and a group of the pod are on the node.
    pub(crate) fn owner(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        Some((self.maps.uid(uid)?, self.maps.gid(gid)?))
    }

    /// Options of a new file system, which is mounted by the node's root: ids in them become the node's, and a
    /// tmpfs that names none belongs to the pod's root.
    pub(crate) fn options(&self, fstype: &str, data: &str) -> String {
        let mut options: Vec<String> = data.split(',').map(|one| self.option(one)).collect();
        if let ("tmpfs", Some((uid, gid))) = (fstype, self.root()) {
            let named = |name: &str| data.split(',').any(|one| one.starts_with(name));
            if !named("uid=") {
                options.push(format!("uid={uid}"));
            }
            if !named("gid=") {
                options.push(format!("gid={gid}"));
            }
        }
        options.retain(|option| !option.is_empty());
        options.join(",")
    }

    /// An id that the pod does not have is left out, and the file system's default holds.
    fn option(&self, option: &str) -> String {
        let mapped = match option.split_once('=') {
            Some((name @ "uid", id)) => (name, id.parse().ok().and_then(|id| self.maps.uid(id))),
            Some((name @ "gid", id)) => (name, id.parse().ok().and_then(|id| self.maps.gid(id))),
            _ => return option.to_owned(),
        };
        match mapped {
            (name, Some(id)) => format!("{name}={id}"),
            (_, None) => String::new(),
        }
    }
}

/// A user namespace that holds the ids of a mount.
#[derive(Debug)]
pub(crate) enum Mapping<'a> {
    Pods(&'a Users),
    Own(OwnedFd),
}

impl<'a> Mapping<'a> {
    /// The pod's if it has the same maps, else one made for this mount.
    pub(crate) fn of(wanted: &IdMapped, pods: Option<&'a Users>) -> Result<Self, SetupError> {
        let action = || "ID-map a mount".to_owned();
        match (&wanted.maps, pods) {
            (None, None) => Err(SetupError::refused(
                action(),
                "the pod has no user namespace whose ids could be taken",
            )),
            (None, Some(pods)) => Ok(Self::Pods(pods)),
            (Some(maps), Some(pods)) if *maps == pods.maps => Ok(Self::Pods(pods)),
            (Some(maps), _) => create(maps).map(Self::Own).when(action),
        }
    }
}

impl AsFd for Mapping<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Pods(users) => users.namespace.as_fd(),
            Self::Own(namespace) => namespace.as_fd(),
        }
    }
}

/// A new user namespace. A child makes it, since who enters one cannot come back, and ends when it is open here.
fn create(maps: &IdMaps) -> io::Result<OwnedFd> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let (held, hold) = pipe_with(PipeFlags::CLOEXEC)?;
    // SAFETY: this process has one thread, so the child may do what its parent could; it ends by _exit.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop((reader, hold));
            let said = File::from(writer).write_all(&unshared().to_le_bytes());
            // Until the parent lets go.
            let _ = said.and_then(|()| File::from(held).read(&mut [0]));
            // SAFETY: ends the child without running what its parent registered for its own end.
            unsafe { libc::_exit(0) }
        }
        child => {
            drop((writer, held));
            let made = open_of_child(reader, maps);
            drop(hold);
            let mut status = 0;
            // SAFETY: our own child, and a place for its status.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            made
        }
    }
}

/// In the child: its number in the PID namespace of the `/proc` that is mounted, or the negative error.
fn unshared() -> i32 {
    let unshare = || {
        let link = std::fs::read_link("/proc/self")?;
        let number = link.to_str().and_then(|text| text.parse::<i32>().ok());
        // SAFETY: a plain system call in a process with one thread.
        match unsafe { libc::unshare(libc::CLONE_NEWUSER) } {
            0 => number.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH)),
            _ => Err(io::Error::last_os_error()),
        }
    };
    unshare().unwrap_or_else(|error: io::Error| -error.raw_os_error().unwrap_or(libc::EIO))
}

fn open_of_child(said: OwnedFd, maps: &IdMaps) -> io::Result<OwnedFd> {
    let mut number = [0; 4];
    File::from(said).read_exact(&mut number)?;
    let number = i32::from_le_bytes(number);
    if number < 0 {
        return Err(io::Error::from_raw_os_error(-number));
    }
    for (name, maps) in [("gid_map", &maps.gids), ("uid_map", &maps.uids)] {
        // The kernel takes a map by one write (user_namespaces(7)).
        std::fs::write(format!("/proc/{number}/{name}"), lines(maps))?;
    }
    Ok(File::open(format!("/proc/{number}/ns/user"))?.into())
}

fn lines(maps: &[IdMap]) -> String {
    let line = |map: &IdMap| format!("{} {} {}\n", map.inside, map.outside, map.size);
    maps.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        let map = IdMap {
            inside: 0,
            outside: 65536,
            size: 10,
        };
        Users {
            namespace: File::open("/dev/null").unwrap().into(),
            maps: IdMaps {
                uids: vec![map],
                gids: vec![map],
            },
        }
    }

    #[test]
    fn options_name_the_nodes_ids() {
        let users = users();
        assert_eq!(
            users.options("devpts", "newinstance,gid=5,mode=0620"),
            "newinstance,gid=65541,mode=0620"
        );
        assert_eq!(users.options("devpts", "gid=50"), "");
        assert_eq!(
            users.options("tmpfs", "mode=755,uid=1"),
            "mode=755,uid=65537,gid=65536"
        );
        assert_eq!(users.options("mqueue", ""), "");
    }

    #[test]
    fn maps_are_lines() {
        assert_eq!(lines(&users().maps.uids), "0 65536 10\n");
    }
}
