//! The listening side: connections of containerd, requests out of them, responses into them. Never blocks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use prost::Message;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};

use super::frame::{self, Kind};
use super::message::{Code, Request, Response, Status};

/// More connections than any containerd opens: one a container.
const MAX_CONNECTIONS: usize = 512;

/// Answers that a client does not fetch are not kept without end.
const MAX_UNSENT: usize = 16 << 20;

/// Where an answer belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    connection: u64,
    stream: u32,
}

/// The listening socket and its connections.
#[derive(Debug)]
pub struct Server {
    listener: OwnedFd,
    connections: Vec<Connection>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    socket: OwnedFd,
    received: Vec<u8>,
    unsent: Vec<u8>,
    dead: bool,
}

/// A descriptor of the server and what it waits for, for the loop's `poll`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The listening socket.
    Listener,
    /// The connection with this number.
    Connection(u64),
}

impl Server {
    /// Serves a bound, listening, non-blocking Unix socket.
    #[must_use]
    pub fn new(listener: OwnedFd) -> Self {
        Self {
            listener,
            connections: Vec::new(),
            next: 0,
        }
    }

    /// Whether any client is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        !self.connections.is_empty()
    }

    /// What to poll.
    pub fn sources(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>, PollFlags)> {
        let listener = (Source::Listener, self.listener.as_fd(), PollFlags::IN);
        let connections = self.connections.iter().map(|connection| {
            let mut interest = PollFlags::IN;
            if !connection.unsent.is_empty() {
                interest |= PollFlags::OUT;
            }
            (
                Source::Connection(connection.number),
                connection.socket.as_fd(),
                interest,
            )
        });
        std::iter::once(listener).chain(connections)
    }

    /// Does what a source is ready for, and returns the requests that came in.
    pub fn ready(&mut self, source: Source) -> Vec<(Ticket, Request)> {
        match source {
            Source::Listener => {
                self.accept();
                Vec::new()
            }
            Source::Connection(number) => self.serve(number),
        }
    }

    fn accept(&mut self) {
        while let Ok(socket) =
            rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
        {
            if self.connections.len() >= MAX_CONNECTIONS {
                continue;
            }
            self.next += 1;
            self.connections.push(Connection {
                number: self.next,
                socket,
                received: Vec::new(),
                unsent: Vec::new(),
                dead: false,
            });
        }
    }

    fn serve(&mut self, number: u64) -> Vec<(Ticket, Request)> {
        let Some(connection) = self.connections.iter_mut().find(|c| c.number == number) else {
            return Vec::new();
        };
        connection.flush();
        let requests = connection.read();
        self.connections.retain(|connection| !connection.dead);
        requests
    }

    /// Sends an answer. A client that has gone meanwhile loses it.
    pub fn answer(&mut self, ticket: Ticket, result: Result<Vec<u8>, Status>) {
        let Some(connection) = self
            .connections
            .iter_mut()
            .find(|connection| connection.number == ticket.connection)
        else {
            return;
        };
        let response = match result {
            Ok(payload) => Response {
                status: None,
                payload,
            },
            Err(status) => Response {
                status: Some(status),
                payload: Vec::new(),
            },
        };
        connection.send(ticket.stream, &response);
        self.connections.retain(|connection| !connection.dead);
    }
}

impl Connection {
    fn send(&mut self, stream: u32, response: &Response) {
        if frame::put(
            &mut self.unsent,
            stream,
            Kind::Response,
            &response.encode_to_vec(),
        )
        .is_err()
            || self.unsent.len() > MAX_UNSENT
        {
            self.dead = true;
            return;
        }
        self.flush();
    }

    fn flush(&mut self) {
        while !self.unsent.is_empty() && !self.dead {
            match rustix::net::send(&self.socket, &self.unsent, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => self.dead = true,
            }
        }
    }

    /// Reads what is there; a broken stream of bytes ends this connection and no other.
    fn read(&mut self) -> Vec<(Ticket, Request)> {
        let mut requests = Vec::new();
        let mut chunk = [0u8; 16 << 10];
        loop {
            match rustix::net::recv(&self.socket, &mut chunk[..], RecvFlags::empty()) {
                Ok((0, _)) => {
                    self.dead = true;
                    break;
                }
                Ok((read, _)) => {
                    self.received.extend_from_slice(&chunk[..read]);
                    self.take_requests(&mut requests);
                    if self.dead {
                        break;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.dead = true;
                    break;
                }
            }
        }
        requests
    }

    fn take_requests(&mut self, requests: &mut Vec<(Ticket, Request)>) {
        loop {
            let frame = match frame::take(&mut self.received) {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(_) => {
                    self.dead = true;
                    return;
                }
            };
            match (frame.kind, Request::decode(frame.body.as_slice())) {
                (Kind::Request, Ok(request)) => requests.push((
                    Ticket {
                        connection: self.number,
                        stream: frame.stream,
                    },
                    request,
                )),
                (Kind::Request, Err(error)) => {
                    let status = Status::new(
                        Code::InvalidArgument,
                        format!("ttrpc: not a request: {error}"),
                    );
                    self.send(
                        frame.stream,
                        &Response {
                            status: Some(status),
                            payload: Vec::new(),
                        },
                    );
                }
                // Nothing of ours streams, and nobody answers a server.
                (Kind::Response | Kind::Data, _) => self.dead = true,
            }
            if self.dead {
                return;
            }
        }
    }
}

/// Binds and listens on a Unix socket at `path`, for root only.
///
/// # Errors
/// `EADDRINUSE` when something is at `path`.
pub fn listen(path: &str) -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    // The mode of the socket itself, before bind makes a file of it: connecting needs write permission.
    rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o600))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, 128)?;
    Ok(socket)
}
