//! HTTP servers on the loopback, with and without TLS, and proxies: as well or as badly behaved as a test wants.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The authority of the server's certificate, which names `localhost` and 127.0.0.1 (made as told in
/// `shim/worker/src/outbound/tests.rs`).
pub(crate) fn authority() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls/authority.pem")
}

/// What a server says to one request.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
    /// How many bytes of the body are sent before the connection ends.
    pub(crate) cut_at: Option<usize>,
    /// Whether the length is not said beforehand.
    pub(crate) chunked: bool,
}

impl Answer {
    pub(crate) fn ok(body: &[u8]) -> Self {
        Self {
            status: 200,
            body: body.to_vec(),
            ..Self::default()
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self {
            location: Some(to.to_owned()),
            ..Self::status(302)
        }
    }

    fn send(&self, to: &mut impl Write) {
        let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", self.status);
        if let Some(location) = &self.location {
            head.push_str(&format!("location: {location}\r\n"));
        }
        if !self.chunked {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        } else {
            head.push_str("transfer-encoding: chunked\r\n");
        }
        let _ = to.write_all(format!("{head}\r\n").as_bytes());
        let body = &self.body[..self.cut_at.unwrap_or(self.body.len())];
        if self.chunked {
            let _ = to.write_all(format!("{:x}\r\n", body.len()).as_bytes());
        }
        let _ = to.write_all(body);
        if self.chunked {
            let _ = to.write_all(b"\r\n0\r\n\r\n");
        }
        let _ = to.flush();
    }
}

/// A running server; it ends with the process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers the n-th request (from 0) for a target.
    pub(crate) fn plain(answer: impl Fn(usize, &str) -> Answer + Send + 'static) -> Self {
        Self::serve(answer, Some)
    }

    /// The same over TLS.
    pub(crate) fn secure(answer: impl Fn(usize, &str) -> Answer + Send + 'static) -> Self {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server-key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let config = Arc::new(config);
        Self::serve(answer, move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).ok()?;
            Some(StreamOwned::new(connection, stream))
        })
    }

    fn serve<S: Read + Write>(
        answer: impl Fn(usize, &str) -> Answer + Send + 'static,
        wrap: impl Fn(TcpStream) -> Option<S> + Send + 'static,
    ) -> Self {
        Self::accept(move |seen, stream| {
            let Some(stream) = wrap(stream) else { return };
            let mut stream = BufReader::new(stream);
            let Some(target) = target(&mut stream) else {
                return;
            };
            let count = {
                let mut seen = seen.lock().unwrap();
                seen.push(target.clone());
                seen.len() - 1
            };
            answer(count, &target).send(stream.get_mut());
        })
    }

    /// A proxy that opens tunnels to one server, whatever it is asked for, and passes plain requests on to it.
    pub(crate) fn proxy(behind: SocketAddr) -> Self {
        Self::accept(move |seen, stream| {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            let _ = stream.read_line(&mut line);
            seen.lock().unwrap().push(line.trim_end().to_owned());
            let mut server = TcpStream::connect(behind).unwrap();
            if line.starts_with("CONNECT ") {
                let mut rest = String::new();
                while stream.read_line(&mut rest).is_ok_and(|n| n > 2) {}
                let _ = stream.get_mut().write_all(b"HTTP/1.1 200 X\r\n\r\n");
            } else {
                let _ = server.write_all(line.as_bytes());
            }
            let mut client = stream.get_ref().try_clone().unwrap();
            let mut from_server = server.try_clone().unwrap();
            let back = thread::spawn(move || {
                let _ = std::io::copy(&mut from_server, &mut client);
                let _ = client.shutdown(std::net::Shutdown::Both);
            });
            let _ = std::io::copy(&mut stream, &mut server);
            let _ = server.shutdown(std::net::Shutdown::Both);
            let _ = back.join();
        })
    }

    fn accept(work: impl Fn(&Arc<Mutex<Vec<String>>>, TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::default();
        let server = Self {
            address,
            seen: Arc::clone(&seen),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                work(&seen, stream);
            }
        });
        server
    }

    /// What was asked for.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// The target of a request, whose head is read to its end.
fn target(stream: &mut impl std::io::BufRead) -> Option<String> {
    let mut first = String::new();
    stream.read_line(&mut first).ok()?;
    let mut line = String::new();
    while stream.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    first.split(' ').nth(1).map(str::to_owned)
}
