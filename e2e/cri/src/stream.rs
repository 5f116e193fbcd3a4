//! The streams of `Exec`, `Attach` and `PortForward`: a WebSocket whose messages begin with a channel's number
//! (`v4.channel.k8s.io`, `staging/src/k8s.io/kubelet/pkg/cri/streaming`, Kubernetes 1.36).

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use crate::wait::SOON;

/// The channel of standard input, and both ways that of a forwarded port.
pub const DATA: usize = 0;

/// The channel of standard output.
pub const STDOUT: usize = 1;

/// The channel of standard error.
pub const STDERR: usize = 2;

const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// One stream.
#[derive(Debug)]
pub struct Stream {
    socket: WebSocket<TcpStream>,
    /// What came on each channel.
    received: [Vec<u8>; 3],
    /// The last word, as JSON.
    status: Option<Value>,
    closed: bool,
}

impl Stream {
    /// Connects to what containerd said.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn open(url: &str) -> Result<Self> {
        let address = url
            .strip_prefix("http://")
            .context("a URL of containerd's")?;
        let host = address.split('/').next().unwrap_or_default();
        let stream = TcpStream::connect(host).with_context(|| url.to_owned())?;
        // So that a wait for output has an end.
        stream.set_read_timeout(Some(Duration::from_millis(50)))?;
        let mut request = format!("ws://{address}").into_client_request()?;
        let protocol = "v4.channel.k8s.io".parse()?;
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol);
        let deadline = Instant::now() + SOON;
        let mut handshake = tungstenite::client(request, stream);
        let socket = loop {
            match handshake {
                Ok((socket, _)) => break socket,
                Err(tungstenite::HandshakeError::Interrupted(more)) => {
                    ensure!(Instant::now() < deadline, "{url}: no answer");
                    handshake = more.handshake();
                }
                Err(error) => bail!("{url}: {error}"),
            }
        };
        Ok(Self {
            socket,
            received: Default::default(),
            status: None,
            closed: false,
        })
    }

    fn send(&mut self, channel: u8, bytes: &[u8]) -> Result<()> {
        let mut message = vec![channel];
        message.extend_from_slice(bytes);
        Ok(self.socket.send(Message::binary(message))?)
    }

    /// Writes to standard input, or to a forwarded port.
    ///
    /// # Errors
    /// When the stream is closed.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.send(0, bytes)
    }

    /// What has come on a channel so far.
    #[must_use]
    pub fn text(&self, channel: usize) -> String {
        let bytes = self.received.get(channel).map(Vec::as_slice);
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    }

    /// Gives the terminal a size.
    ///
    /// # Errors
    /// When the stream is closed.
    pub fn resize(&mut self, width: u16, height: u16) -> Result<()> {
        let size = format!(r#"{{"Width":{width},"Height":{height}}}"#);
        self.send(RESIZE, size.as_bytes())
    }

    /// Takes what comes next; nothing may come for a while.
    fn read(&mut self) -> Result<()> {
        let message = match self.socket.read() {
            Ok(message) => message,
            Err(tungstenite::Error::Io(error))
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                return Ok(());
            }
            // containerd ends some streams without a goodbye.
            Err(_) => {
                self.closed = true;
                return Ok(());
            }
        };
        let bytes = message.into_data();
        match bytes.split_first() {
            Some((&ERROR, bytes)) if !bytes.is_empty() => {
                self.status = Some(serde_json::from_slice(bytes).context("the last word")?);
            }
            Some((&channel, bytes)) => {
                if let Some(received) = self.received.get_mut(usize::from(channel)) {
                    received.extend_from_slice(bytes);
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Reads until a channel holds this.
    ///
    /// # Errors
    /// When it does not come; says what came instead.
    pub fn expect(&mut self, channel: usize, text: &str) -> Result<()> {
        let deadline = Instant::now() + SOON;
        while !self.text(channel).contains(text) {
            ensure!(
                Instant::now() < deadline && !self.closed,
                "waited in vain for {text:?}: {:?}",
                self.received
                    .each_ref()
                    .map(|bytes| String::from_utf8_lossy(bytes))
            );
            self.read()?;
        }
        Ok(())
    }

    /// Reads to the end, and returns the exit code.
    ///
    /// # Errors
    /// When the end does not come, or is no exit.
    pub fn finish(&mut self) -> Result<i32> {
        let deadline = Instant::now() + SOON;
        while self.status.is_none() && !self.closed {
            ensure!(Instant::now() < deadline, "the stream does not end");
            self.read()?;
        }
        let status = self
            .status
            .take()
            .context("a stream that ended without a word")?;
        if status["status"] == "Success" {
            return Ok(0);
        }
        let causes = status["details"]["causes"].as_array();
        let code = causes
            .into_iter()
            .flatten()
            .find(|cause| cause["reason"] == "ExitCode");
        let code = code.and_then(|cause| cause["message"].as_str());
        code.with_context(|| format!("the stream says {status}"))?
            .parse()
            .context("exit code")
    }

    /// Hangs up.
    pub fn close(mut self) {
        // The other side may have done so already.
        let _ = self.socket.close(None);
        // To the end: who leaves with output unread resets the connection, and the peer may lose what it was sent.
        let deadline = Instant::now() + SOON;
        while !self.closed && Instant::now() < deadline && self.read().is_ok() {}
    }
}
