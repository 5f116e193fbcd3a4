//! The calling side: one call at a time to a server on a Unix socket. Never blocks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use prost::Message;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::frame::{self, Kind};
use super::message::{Request, Response, Status};

/// A connection to a ttrpc server.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    received: Vec<u8>,
    unsent: Vec<u8>,
    stream: u32,
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(path: &str) -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        // A Unix socket connects at once or, with a full backlog, not at all (EAGAIN; unix(7)).
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self {
            socket,
            received: Vec::new(),
            unsent: Vec::new(),
            stream: 1,
        })
    }

    /// What to poll for.
    #[must_use]
    pub fn interest(&self) -> PollFlags {
        if self.unsent.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::IN | PollFlags::OUT
        }
    }

    /// Begins a call; [`Client::ready`] returns its answer.
    ///
    /// # Errors
    /// When the connection is broken or the request too long.
    pub fn call(&mut self, service: &str, method: &str, payload: Vec<u8>) -> io::Result<()> {
        let request = Request {
            service: service.to_owned(),
            method: method.to_owned(),
            payload,
            ..Request::default()
        };
        frame::put(
            &mut self.unsent,
            self.stream,
            Kind::Request,
            &request.encode_to_vec(),
        )
        .map_err(io::Error::other)?;
        self.stream = self.stream.wrapping_add(2);
        self.flush()
    }

    /// Sends and receives what is possible now; the answer of the call once it is there.
    ///
    /// # Errors
    /// When the connection is broken: what was sent may or may not have arrived.
    pub fn ready(&mut self) -> io::Result<Option<Result<Vec<u8>, Status>>> {
        self.flush()?;
        let mut chunk = [0u8; 4 << 10];
        loop {
            if let Some(frame) = frame::take(&mut self.received).map_err(io::Error::other)? {
                let response = Response::decode(frame.body.as_slice()).map_err(io::Error::other)?;
                return Ok(Some(match response.status {
                    Some(status) if status.code != 0 => Err(status),
                    _ => Ok(response.payload),
                }));
            }
            match rustix::net::recv(&self.socket, &mut chunk[..], RecvFlags::empty()) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((read, _)) => self.received.extend_from_slice(&chunk[..read]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match rustix::net::send(&self.socket, &self.unsent, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
