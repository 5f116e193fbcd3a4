//! The socket by which runc hands over the terminal it has made in a container (`--console-socket`).

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix,
    SocketFlags, SocketType, accept_with, bind, listen, recvmsg, socket_with,
};

/// A socket that waits for a terminal.
#[derive(Debug)]
pub struct Console {
    listener: OwnedFd,
    directory: File,
    name: String,
}

impl Console {
    /// Makes the socket `name` in a container's bundle.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(bundle: &Path, name: &str) -> io::Result<Self> {
        let directory = File::open(bundle)?;
        let path = bundle.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        let console = Self {
            listener,
            directory,
            name: name.to_owned(),
        };
        // A bundle's path is longer than the 107 bytes of a socket's (unix(7)).
        let short = format!("/proc/self/fd/{}/{name}", console.directory.as_raw_fd());
        bind(&console.listener, &SocketAddrUnix::new(short)?)?;
        listen(&console.listener, 1)?;
        Ok(console)
    }

    /// Its path for runc, which is another process.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let directory = self.directory.as_raw_fd();
        format!("/proc/{}/fd/{directory}/{}", std::process::id(), self.name).into()
    }

    /// Takes the terminal. runc has sent it by the time it has ended well.
    ///
    /// # Errors
    /// When it has not.
    pub fn receive(&self) -> io::Result<OwnedFd> {
        let connection = accept_with(&self.listener, SocketFlags::CLOEXEC)?;
        // The message is the terminal's name, which nobody needs.
        let mut name = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        recvmsg(
            connection.as_fd(),
            &mut [io::IoSliceMut::new(&mut name)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
        )?;
        let mut descriptors = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        descriptors
            .next()
            .ok_or_else(|| io::Error::other("no descriptor came with the terminal's name"))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It is the bundle's, and goes with it at the latest.
        let path = format!("/proc/self/fd/{}/{}", self.directory.as_raw_fd(), self.name);
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    #[test]
    fn a_terminal_comes_through_a_socket_however_long_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("b".repeat(120));
        std::fs::create_dir(&bundle).unwrap();
        let console = Console::new(&bundle, "tty").unwrap();
        assert!(console.receive().is_err(), "nobody has sent it");

        let stream = UnixStream::connect(console.path()).unwrap();
        let null = File::open("/dev/null").unwrap();
        let descriptors = [null.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let bytes = [io::IoSlice::new(b"/dev/ptmx")];
        sendmsg(&stream, &bytes, &mut ancillary, SendFlags::empty()).unwrap();
        let received = console.receive().unwrap();
        let link = std::fs::read_link(format!("/proc/self/fd/{}", received.as_raw_fd()));
        assert_eq!(link.unwrap(), Path::new("/dev/null"));

        drop(console);
        assert!(!bundle.join("tty").exists());
    }
}
