//! A registry of a few blobs on the loopback, in which each form of an image can be had.
//!
//! As much of the OCI distribution specification 1.1 as a pull needs. A `hosts.toml` tells containerd that it speaks plain
//! HTTP; without one 2.x tries TLS even on the loopback.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(10);

/// What a registry holds.
#[derive(Debug, Default)]
pub struct Content {
    /// Bytes and their media type, by path below `/v2/`.
    served: HashMap<String, (String, Vec<u8>)>,
}

impl Content {
    /// Keeps a blob of `image`, and returns its descriptor.
    pub fn blob(&mut self, image: &str, media_type: &str, bytes: &[u8]) -> Value {
        self.put(image, "blobs", media_type, bytes)
    }

    /// Keeps an index or a manifest of `image`, and returns its descriptor.
    pub fn manifest(&mut self, image: &str, document: &Value) -> Value {
        let media_type = document["mediaType"].as_str().unwrap_or_default();
        self.put(
            image,
            "manifests",
            media_type,
            document.to_string().as_bytes(),
        )
    }

    /// Keeps an index or a manifest as the one that the tag `1` of `image` means.
    pub fn tag(&mut self, image: &str, document: &Value) {
        let media_type = document["mediaType"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let bytes = document.to_string().into_bytes();
        self.manifest(image, document);
        self.served
            .insert(format!("{image}/manifests/1"), (media_type, bytes));
    }

    fn put(&mut self, image: &str, kind: &str, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        self.served.insert(
            format!("{image}/{kind}/{digest}"),
            (media_type.to_owned(), bytes.to_vec()),
        );
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }
}

/// `sha256:` and the digest.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hash}")
}

/// A registry, until it is dropped.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    hosts: PathBuf,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Registry {
    /// Serves `content`, and says so in `hosts`, which is containerd's `config_path`.
    ///
    /// # Errors
    /// When there is no port to be had, or no file to be written.
    pub fn serve(content: Content, hosts: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("a port for the registry")?;
        let address = listener.local_addr()?;
        let hosts = hosts.join(address.to_string());
        std::fs::create_dir_all(&hosts).with_context(|| hosts.display().to_string())?;
        std::fs::write(
            hosts.join("hosts.toml"),
            format!("server = \"http://{address}\"\n"),
        )?;
        let ends = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&ends);
        let content = Arc::new(content);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                let content = Arc::clone(&content);
                // A client that hangs up has what it wants.
                std::thread::spawn(move || drop(answer(&stream, &content)));
            }
        });
        Ok(Self {
            address,
            hosts,
            ends,
            thread: Some(thread),
        })
    }

    /// The name of an image in it.
    #[must_use]
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}:1", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.hosts);
        self.ends.store(true, Ordering::Relaxed);
        // The next connection is the last.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one request; the connection ends with it.
fn answer(stream: &TcpStream, content: &Content) -> Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().context("no request")??;
    // The rest of the head says nothing that matters here.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next());
    let path = target.unwrap_or_default().split('?').next();
    let wanted = path.unwrap_or_default().strip_prefix("/v2/");
    let found = wanted.and_then(|path| content.served.get(path));
    let mut stream = stream;
    match found {
        Some((media_type, bytes)) => {
            let (length, digest) = (bytes.len(), digest(bytes));
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\
                 Docker-Content-Digest: {digest}\r\nConnection: close\r\n\r\n"
            )?;
            if method != "HEAD" {
                stream.write_all(bytes)?;
            }
        }
        None => write!(
            stream,
            "HTTP/1.1 {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            if wanted == Some("") {
                "200 OK"
            } else {
                "404 Not Found"
            }
        )?,
    }
    Ok(())
}
