//! A connection to systemd: its private socket, or the system bus where that is closed.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, socket_with,
};

use super::SystemdError;
use super::message::{self, Body, Call, Incoming, Signed};

/// Spoken without a bus between, as systemctl does for root.
const PRIVATE: &str = "/run/systemd/private";
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";
const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "/org/freedesktop/systemd1";
/// How long systemd may take to accept a connection and the few hundred bytes of a call.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest line of the handshake.
const MAX_LINE: usize = 4096;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    inbox: Vec<u8>,
    /// Calls kept back until the handshake is over.
    outbox: Vec<u8>,
    authenticated: bool,
    serial: u32,
}

pub(crate) enum ReceiveError {
    Io(io::Error),
    Protocol(&'static str),
}

impl Connection {
    pub(crate) fn open() -> Result<Self, SystemdError> {
        let private = dial(PRIVATE).and_then(Self::greet);
        private.or_else(|_| {
            dial(SYSTEM_BUS)
                .and_then(Self::greet)
                .and_then(Self::join_bus)
                .map_err(|source| SystemdError::Connect {
                    path: SYSTEM_BUS,
                    source,
                })
        })
    }

    /// Begins the conversation; refusal shows as the first line received. Calls are kept back until then: systemd
    /// leaves a call that it reads together with the handshake lying until more comes (sd-bus looks into its buffer
    /// only when the socket is readable; seen with v257).
    pub(super) fn greet(mut stream: UnixStream) -> io::Result<Self> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\nBEGIN\r\n").as_bytes())?;
        Ok(Self {
            stream,
            inbox: Vec::new(),
            outbox: Vec::new(),
            authenticated: false,
            serial: 0,
        })
    }

    /// A bus wants to be greeted too, and to be told which signals to pass on.
    fn join_bus(mut self) -> io::Result<Self> {
        const BUS: &str = "org.freedesktop.DBus";
        let mut rule = Body::default();
        rule.string(
            "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
        );
        let rule = rule.signed("s");
        for (destination, path, interface, method, body) in [
            (BUS, "/org/freedesktop/DBus", BUS, "Hello", None),
            (BUS, "/org/freedesktop/DBus", BUS, "AddMatch", Some(&rule)),
            (SYSTEMD, MANAGER, super::INTERFACE, "Subscribe", None),
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

    /// Calls a method of systemd's manager object; the serial number is in the reply.
    pub(crate) fn call(&mut self, interface: &str, method: &str, body: &Signed) -> io::Result<u32> {
        self.send(&Call {
            destination: SYSTEMD,
            path: MANAGER,
            interface,
            method,
            body: Some(body),
        })
    }

    fn send(&mut self, call: &Call<'_>) -> io::Result<u32> {
        self.serial += 1;
        let message = call.encode(self.serial);
        if self.authenticated {
            self.stream.write_all(&message)?;
        } else {
            self.outbox.extend(message);
        }
        Ok(self.serial)
    }

    /// The next message, if all of it has come. Never blocks.
    pub(crate) fn receive(&mut self) -> Result<Option<Incoming>, ReceiveError> {
        loop {
            if !self.authenticated {
                self.authenticated = take_ok(&mut self.inbox).map_err(ReceiveError::Protocol)?;
                if self.authenticated {
                    let kept = std::mem::take(&mut self.outbox);
                    self.stream.write_all(&kept).map_err(ReceiveError::Io)?;
                }
            }
            if self.authenticated
                && let Some(incoming) =
                    message::take(&mut self.inbox).map_err(ReceiveError::Protocol)?
            {
                return Ok(Some(incoming));
            }
            let mut buffer = [0; 8192];
            match recv(&self.stream, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(ReceiveError::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok((len, _)) => self.inbox.extend_from_slice(&buffer[..len]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(ReceiveError::Io(errno.into())),
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn dial(path: &str) -> io::Result<UnixStream> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // Bounds connect() too, which waits while the backlog is full (unix(7)).
    set_socket_timeout(&socket, Timeout::Send, Some(SEND_TIMEOUT))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// Takes the line that ends the handshake off the front; false while it is not all there.
fn take_ok(inbox: &mut Vec<u8>) -> Result<bool, &'static str> {
    let Some(end) = inbox.windows(2).position(|pair| pair == b"\r\n") else {
        return if inbox.len() > MAX_LINE {
            Err("a handshake without an end")
        } else {
            Ok(false)
        };
    };
    if !inbox.starts_with(b"OK ") {
        return Err("it does not let this user in");
    }
    inbox.drain(..end + 2);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_taken_off_the_front() {
        let mut inbox = b"OK 0123".to_vec();
        assert_eq!(take_ok(&mut inbox), Ok(false));
        inbox.extend(b"\r\nl");
        assert_eq!(take_ok(&mut inbox), Ok(true));
        assert_eq!(inbox, b"l");
        assert!(take_ok(&mut b"REJECTED EXTERNAL\r\n".to_vec()).is_err());
        assert!(take_ok(&mut vec![b'x'; MAX_LINE + 1]).is_err());
    }
}
