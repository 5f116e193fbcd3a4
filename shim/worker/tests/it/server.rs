//! Servers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Guests, WORKER, eventually, lossy};

/// A `wasi:http` server without a body: 200, but it traps for a path of 6 bytes (`/trap!`) and spins for one
/// of 5 (`/spin`).
const SERVER: &str = include_str!("server.wat");

struct Server {
    child: Child,
    address: SocketAddr,
    _guests: Guests,
}

impl Server {
    fn start() -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let guests = Guests::new();
        let child = Command::new(WORKER)
            .args(["run", "--env"])
            .arg(format!("WASMTIME_HTTP_PROXY_SOCKET_ADDR={address}"))
            .arg(guests.compile(SERVER))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("listening", || TcpStream::connect(address).ok());
        Self {
            child,
            address,
            _guests: guests,
        }
    }

    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn status(&self, path: &str) -> String {
        let mut line = String::new();
        BufReader::new(self.ask(path)).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn signal(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits for the end and gives exit status and log.
    fn end(mut self) -> (Option<i32>, String) {
        let status = eventually("the end", || self.child.try_wait().unwrap());
        let mut log = Vec::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_end(&mut log).unwrap();
        (status.code(), lossy(&log))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already where the test has waited for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_answers_and_a_trap_is_a_500_with_its_reason_in_the_log() {
    let server = Server::start();
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    assert_eq!(
        server.status("/trap!"),
        "HTTP/1.1 500 Internal Server Error"
    );
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    server.signal();
    let (status, log) = server.end();
    assert_eq!(status, Some(0));
    assert!(
        log.starts_with("slipway: GET /trap!: the guest trapped: wasm trap: "),
        "{log}"
    );
}

#[test]
fn a_computing_request_does_not_stop_others() {
    let server = Server::start();
    let _spinning = server.ask("/spin");
    for _ in 0..3 {
        assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    }
}

#[test]
fn more_requests_than_slots_are_answered() {
    let server = Server::start();
    let clients: Vec<_> = (0..200).map(|_| server.ask("/")).collect();
    for client in clients {
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        assert_eq!(line, "HTTP/1.1 200 OK\r\n");
    }
}

#[test]
fn a_request_that_has_begun_is_answered_before_the_end() {
    let server = Server::start();
    let mut late = TcpStream::connect(server.address).unwrap();
    late.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    late.write_all(b"GET /latest HTTP/1.1\r\nHost: test\r\n")
        .unwrap();
    // Accepted in order: once this one is answered, the one before it is being read.
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    server.signal();
    eventually("refusing", || TcpStream::connect(server.address).err());
    late.write_all(b"\r\n").unwrap();
    let mut answer = String::new();
    late.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_second_signal_does_not_wait() {
    let server = Server::start();
    let _spinning = server.ask("/spin");
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    server.signal();
    eventually("refusing", || TcpStream::connect(server.address).err());
    server.signal();
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn an_overlong_head_is_refused() {
    let server = Server::start();
    let path = "x".repeat(1 << 20);
    let mut stream = TcpStream::connect(server.address).unwrap();
    // The server may close before it has all.
    let _ = write!(stream, "GET /{path} HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
    assert!(line.is_empty() || line.starts_with("HTTP/1.1 4"), "{line}");
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
}

#[test]
fn a_request_without_a_host_is_answered() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.0 200 OK\r\n");
}

#[test]
fn an_address_that_is_none_is_named() {
    let guests = Guests::new();
    for (address, reason) in [
        (
            "8080",
            "WASMTIME_HTTP_PROXY_SOCKET_ADDR: expected an address",
        ),
        ("192.0.2.1:80", "listening on 192.0.2.1:80: "),
    ] {
        let output = Command::new(WORKER)
            .args(["run", "--env"])
            .arg(format!("WASMTIME_HTTP_PROXY_SOCKET_ADDR={address}"))
            .arg(guests.compile(SERVER))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(126));
        assert!(
            lossy(&output.stderr).contains(reason),
            "{}",
            lossy(&output.stderr)
        );
    }
}
