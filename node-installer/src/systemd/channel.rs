//! A connection to PID 1 with a deadline on every read and write.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::message::{self, Argument, Call, Incoming, Kind, PREFIX};

/// The end of the handshake's lines.
const LINE_END: &[u8] = b"\r\n";

/// Longest line of the handshake.
const MAX_LINE: usize = 4096;

/// A connection that has been let in.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    serial: u32,
}

impl Channel {
    /// Connects and authenticates as the user that this process is.
    pub(super) fn open(socket: &Path, limit: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + limit;
        let mut channel = Self {
            stream: UnixStream::connect(socket)?,
            serial: 0,
        };
        let uid = rustix::process::geteuid().as_raw().to_string();
        let hello = format!(
            "\0AUTH EXTERNAL {}\r\nBEGIN\r\n",
            crate::digest::hex(uid.as_bytes())
        );
        channel.write(hello.as_bytes(), deadline)?;
        // The answer first, then calls: systemd leaves a call lying that it reads together with the handshake, until
        // more comes (sd-bus looks into its buffer only when the socket is readable; seen with v257).
        let mut line = Vec::new();
        while !line.ends_with(LINE_END) {
            if line.len() == MAX_LINE {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a handshake without an end",
                ));
            }
            let mut byte = [0];
            channel.read(&mut byte, deadline)?;
            line.push(byte[0]);
        }
        if line.starts_with(b"OK ") {
            Ok(channel)
        } else {
            Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it does not let this user in",
            ))
        }
    }

    /// Calls a method and waits for its reply or refusal; signals that come in between are dropped.
    pub(super) fn call(
        &mut self,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &[Argument<'_>],
        deadline: Instant,
    ) -> io::Result<Incoming> {
        self.serial += 1;
        let call = Call {
            serial: self.serial,
            path,
            interface,
            method,
            arguments,
        };
        self.write(&call.encode(), deadline)?;
        loop {
            let incoming = self.receive(deadline)?;
            if matches!(incoming.kind, Kind::Return | Kind::Error)
                && incoming.reply_to == self.serial
            {
                return Ok(incoming);
            }
        }
    }

    /// The next message.
    pub(super) fn receive(&mut self, deadline: Instant) -> io::Result<Incoming> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "it sent what is not D-Bus");
        let mut bytes = vec![0; PREFIX];
        self.read(&mut bytes, deadline)?;
        let prefix = bytes.first_chunk::<PREFIX>().ok_or_else(malformed)?;
        let length = message::length(prefix).ok_or_else(malformed)?;
        bytes.resize(length.max(PREFIX), 0);
        self.read(&mut bytes[PREFIX..], deadline)?;
        message::decode(&bytes).ok_or_else(malformed)
    }

    fn read(&mut self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !buffer.is_empty() {
            self.stream.set_read_timeout(Some(left(deadline)?))?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => buffer = &mut buffer[read..],
                Err(error) => retry(error)?,
            }
        }
        Ok(())
    }

    fn write(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(left(deadline)?))?;
            match self.stream.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) => retry(error)?,
            }
        }
        Ok(())
    }
}

/// The time left, which is never zero: zero means no timeout to the kernel.
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(left),
        _ => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn retry(error: io::Error) -> io::Result<()> {
    match error.kind() {
        // The kernel's word for a timeout that passed; the next round finds the deadline passed as well.
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_peer_that_says_nothing_or_no_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("private");
        let listener = UnixListener::bind(&socket).unwrap();
        let error = Channel::open(&socket, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let answer = std::thread::spawn(move || {
            let (_silent, _) = listener.accept().unwrap();
            let (mut peer, _) = listener.accept().unwrap();
            peer.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
        });
        let error = Channel::open(&socket, Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        answer.join().unwrap();
    }
}
