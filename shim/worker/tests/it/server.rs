//! Servers.

mod drain;
mod files;
mod limits;
mod log;
mod protocol;
mod quiet;
mod reuse;
mod wasi_0_3;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Guests, WORKER, eventually, lossy};

/// A `wasi:http` server without a body: 200, but it traps for a path of 6 bytes (`/trap!`), spins for one of 5
/// (`/spin`), and for one of 7 (`/second`) it traps in an instance that has answered nothing yet.
const SERVER: &str = include_str!("server/server.wat");
/// The same of WASI 0.3.
const SERVER_0_3: &str = include_str!("server/server-0.3.wat");

/// Answers with bodies, and with lines on stdout, as the text says; between the two parts of one of its answers there is
/// so much time.
fn streams(wait: Duration) -> String {
    include_str!("server/streams.wat").replace("WAIT", &wait.as_nanos().to_string())
}

struct Server {
    child: Child,
    address: SocketAddr,
    _guests: Guests,
}

impl Server {
    fn start() -> Self {
        Self::with(&[])
    }

    /// With these options of a pod.
    fn with(options: &[&str]) -> Self {
        Self::of(SERVER, options)
    }

    fn of(guest: &str, options: &[&str]) -> Self {
        let arguments: Vec<_> = options
            .iter()
            .flat_map(|option| ["--option", *option])
            .collect();
        Self::run(guest, &arguments)
    }

    /// With these arguments of the worker.
    fn run(guest: &str, arguments: &[&str]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let guests = Guests::new();
        let child = Command::new(WORKER)
            .args(["run", "--env"])
            .arg(format!("WASMTIME_HTTP_PROXY_SOCKET_ADDR={address}"))
            .args(arguments)
            .arg(guests.compile(guest))
            .stdout(Stdio::piped())
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

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).unwrap();
        stream
    }

    /// Sends text and reads until the server closes.
    fn talk(&self, text: &str) -> String {
        let mut stream = self.connect();
        // The server may close before it has all.
        let _ = stream.write_all(text.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        lossy(&answer)
    }

    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = self.connect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Tells it to stop, and waits until it accepts nobody any more.
    fn stop(&self) {
        self.signal();
        eventually("refusing", || TcpStream::connect(self.address).err());
    }

    fn status(&self, path: &str) -> String {
        let mut line = String::new();
        BufReader::new(self.ask(path)).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn signal(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Stops it, and demands that it has told of a trap and ended well.
    fn ends_having_told_of_a_trap(self) {
        self.signal();
        let (status, log) = self.end();
        assert_eq!(status, Some(0));
        let told = "slipway: GET /trap!: the guest trapped: wasm trap: ";
        assert!(log.starts_with(told), "{log}");
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
    server.ends_having_told_of_a_trap();
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
