//! A connection to systemd that never blocks to receive.
//!
//! For a poll loop: poll it for reading, then [`Connection::receive`] until that is `None`. For callers without a loop:
//! [`Connection::receive_until`] a deadline.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, socket_with,
};

use crate::body::Signed;
use crate::message::{self, Call, Incoming};
use crate::{MANAGER, MANAGER_INTERFACE, SYSTEMD};

/// Longest line of the handshake.
const MAX_LINE: usize = 4096;

/// A connection that is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It broke, or the deadline passed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The handshake was refused.
    #[error("it does not let this user in")]
    Rejected,
    /// What came is not D-Bus.
    #[error("{0}")]
    Protocol(&'static str),
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            Error::Rejected => Self::new(io::ErrorKind::PermissionDenied, error),
            Error::Protocol(_) => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

/// A connection to systemd, peer to peer or over a bus.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    inbox: Vec<u8>,
    /// Calls kept back until the handshake is over.
    outbox: Vec<u8>,
    authenticated: bool,
    serial: u32,
}

impl Connection {
    /// Connects to a socket and begins the handshake as the user that this process is. `limit` bounds the connecting
    /// and each sending: the few hundred bytes of a call fit into the socket's buffer, unless systemd has stopped
    /// reading.
    pub fn open(socket: &Path, limit: Duration) -> io::Result<Self> {
        let fd = socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // Bounds connect() too, which waits while the backlog is full (unix(7)).
        set_socket_timeout(&fd, Timeout::Send, Some(limit))?;
        connect(&fd, &SocketAddrUnix::new(socket)?).map_err(|errno| timed_out(errno.into()))?;
        Self::greet(UnixStream::from(fd))
    }

    /// Bounds each sending from now on.
    pub fn bound_sending(&self, limit: Duration) -> io::Result<()> {
        Ok(set_socket_timeout(
            &self.stream,
            Timeout::Send,
            Some(limit),
        )?)
    }

    /// Begins the handshake on a stream; a refusal shows as the first line received. Calls are kept back until then:
    /// systemd leaves a call that it reads together with the handshake lying until more comes (sd-bus looks into its
    /// buffer only when the socket is readable; seen with v257).
    pub fn greet(stream: UnixStream) -> io::Result<Self> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut connection = Self {
            stream,
            inbox: Vec::new(),
            outbox: Vec::new(),
            authenticated: false,
            serial: 0,
        };
        connection.write(format!("\0AUTH EXTERNAL {hex}\r\nBEGIN\r\n").as_bytes())?;
        Ok(connection)
    }

    /// What a bus needs more than systemd's own socket: to be greeted, and to be told which signals to pass on.
    pub fn join_bus(mut self) -> io::Result<Self> {
        const BUS: &str = "org.freedesktop.DBus";
        const BUS_PATH: &str = "/org/freedesktop/DBus";
        let rule = Signed::strings(&[
            "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
        ]);
        for (destination, path, interface, method, body) in [
            (BUS, BUS_PATH, BUS, "Hello", None),
            (BUS, BUS_PATH, BUS, "AddMatch", Some(&rule)),
            (SYSTEMD, MANAGER, MANAGER_INTERFACE, "Subscribe", None),
        ] {
            self.send(&Call {
                destination,
                path,
                interface,
                method,
                body,
            })?;
        }
        Ok(self)
    }

    /// Calls a method of one of systemd's objects; the serial number is in the reply.
    pub fn call(
        &mut self,
        path: &str,
        interface: &str,
        method: &str,
        body: &Signed,
    ) -> io::Result<u32> {
        self.send(&Call {
            destination: SYSTEMD,
            path,
            interface,
            method,
            body: Some(body),
        })
    }

    fn send(&mut self, call: &Call<'_>) -> io::Result<u32> {
        self.serial += 1;
        let message = call.encode(self.serial);
        if self.authenticated {
            self.write(&message)?;
        } else {
            self.outbox.extend(message);
        }
        Ok(self.serial)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).map_err(timed_out)
    }

    /// The next message, if all of it has come. Never blocks to receive.
    pub fn receive(&mut self) -> Result<Option<Incoming>, Error> {
        loop {
            if self.let_in()?
                && let Some(incoming) = message::take(&mut self.inbox).map_err(Error::Protocol)?
            {
                return Ok(Some(incoming));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// The next message, waited for until `deadline`.
    pub fn receive_until(&mut self, deadline: Instant) -> Result<Incoming, Error> {
        loop {
            if let Some(incoming) = self.receive()? {
                return Ok(incoming);
            }
            self.wait(deadline)?;
        }
    }

    /// Whether the handshake is over, after a look at all that has come; an error if the other side has gone.
    pub fn is_let_in(&mut self) -> Result<bool, Error> {
        while self.fill()? {}
        self.let_in()
    }

    /// Waits until the handshake is over, for callers who want to know before they call.
    pub fn authenticate(&mut self, deadline: Instant) -> Result<(), Error> {
        while !self.let_in()? {
            if !self.fill()? {
                self.wait(deadline)?;
            }
        }
        Ok(())
    }

    /// Waits until there may be more to receive; an error when the deadline has passed.
    pub fn wait(&self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        // Being interrupted or woken for nothing only means another turn.
        let _ = poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&left));
        Ok(())
    }

    /// Whether the handshake is over; the moment it is, the calls kept back are sent.
    fn let_in(&mut self) -> Result<bool, Error> {
        if !self.authenticated && take_ok(&mut self.inbox)? {
            self.authenticated = true;
            let kept = std::mem::take(&mut self.outbox);
            self.write(&kept)?;
        }
        Ok(self.authenticated)
    }

    /// Takes what has come into the inbox; false if nothing has.
    fn fill(&mut self) -> Result<bool, Error> {
        let mut buffer = [0; 8192];
        loop {
            match recv(&self.stream, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(Error::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok((len, _)) => {
                    self.inbox.extend_from_slice(&buffer[..len]);
                    return Ok(true);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(Error::Io(errno.into())),
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The kernel's word for a send timeout that passed is EAGAIN (socket(7), SO_SNDTIMEO).
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

/// Takes the line that ends the handshake off the front; false while it is not all there.
fn take_ok(inbox: &mut Vec<u8>) -> Result<bool, Error> {
    let Some(end) = inbox.windows(2).position(|pair| pair == b"\r\n") else {
        return if inbox.len() > MAX_LINE {
            Err(Error::Protocol("a handshake without an end"))
        } else {
            Ok(false)
        };
    };
    if !inbox.starts_with(b"OK ") {
        return Err(Error::Rejected);
    }
    inbox.drain(..end + 2);
    Ok(true)
}

#[cfg(test)]
mod tests;
