//! gRPC over a Unix socket: one call at a time, with one answer or a stream of them.
//!
//! [`call`] makes a connection for each call, so nothing has to be mended when containerd comes back. [`Connection`] is for
//! who measures, and keeps one.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;

/// The code of a call that met nobody, or somebody who went away (gRPC's UNAVAILABLE).
pub const UNAVAILABLE: u32 = 14;

/// The code of something that does not exist.
pub const NOT_FOUND: u32 = 5;

/// A call that was not answered, or answered with an error.
#[derive(Debug, Clone)]
pub struct Status {
    /// gRPC's number; 0 is never an error.
    pub code: u32,
    /// What was said.
    pub message: String,
}

impl std::fmt::Display for Status {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} (gRPC code {})", self.message, self.code)
    }
}

impl std::error::Error for Status {}

fn unavailable(error: impl std::fmt::Display) -> Status {
    Status {
        code: UNAVAILABLE,
        message: error.to_string(),
    }
}

/// Calls `path` (`/package.Service/Method`) on a connection of its own and waits for the answer.
///
/// # Errors
/// [`Status`]: the server's, or UNAVAILABLE when there is none or `timeout` is over.
pub fn call<Reply: Message + Default>(
    socket: &Path,
    path: &str,
    namespace: Option<&str>,
    request: &impl Message,
    timeout: Duration,
) -> Result<Reply, Status> {
    Connection::open(socket, timeout)?.call(path, namespace, request, timeout)
}

/// A connection that stays open from call to call, as a kubelet's does.
#[derive(Debug)]
pub struct Connection {
    runtime: tokio::runtime::Runtime,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects to a socket.
    ///
    /// # Errors
    /// UNAVAILABLE when nobody answers in time.
    pub fn open(socket: &Path, timeout: Duration) -> Result<Self, Status> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(unavailable)?;
        let sender = runtime.block_on(in_time("connect", timeout, async {
            let stream = tokio::net::UnixStream::connect(socket)
                .await
                .map_err(|error| unavailable(format_args!("{}: {error}", socket.display())))?;
            let io = TokioIo::new(stream);
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                    .await
                    .map_err(unavailable)?;
            tokio::spawn(connection);
            Ok(sender)
        }))?;
        Ok(Self { runtime, sender })
    }

    /// Calls `path` (`/package.Service/Method`) and waits for the answer.
    ///
    /// # Errors
    /// [`Status`]: the server's, or UNAVAILABLE when the connection or `timeout` is over.
    pub fn call<Reply: Message + Default>(
        &mut self,
        path: &str,
        namespace: Option<&str>,
        request: &impl Message,
        timeout: Duration,
    ) -> Result<Reply, Status> {
        let answer = exchange(&mut self.sender, path, namespace, frame(request));
        self.runtime.block_on(in_time(path, timeout, answer))
    }

    /// Calls a `path` that answers with a stream, and gives each message to `on` until that wants no more.
    ///
    /// # Errors
    /// [`Status`]: the server's, or UNAVAILABLE when the connection is over.
    pub fn follow<Reply: Message + Default>(
        &mut self,
        path: &str,
        request: &impl Message,
        mut on: impl FnMut(Reply) -> ControlFlow<()>,
    ) -> Result<(), Status> {
        self.runtime.block_on(async {
            let request = post(path, None, frame(request))?;
            let response = self.sender.send_request(request);
            let mut body = response.await.map_err(unavailable)?.into_body();
            let mut bytes = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(unavailable)?;
                if let Some(trailers) = frame.trailers_ref() {
                    return status(trailers);
                }
                bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
                while let Some(message) = next_message(&mut bytes) {
                    let message = Reply::decode(message)
                        .map_err(|error| unavailable(format_args!("{path}: {error}")))?;
                    if on(message).is_break() {
                        return Ok(());
                    }
                }
            }
            Err(unavailable(format_args!("{path}: the stream is over")))
        })
    }
}

async fn in_time<T>(
    what: &str,
    timeout: Duration,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(unavailable(format_args!(
            "{what}: no answer in {timeout:?}"
        ))),
    }
}

/// The first message of a stream, once it is there as a whole.
fn next_message(bytes: &mut BytesMut) -> Option<Bytes> {
    let length = bytes.get(1..5)?.try_into().ok().map(u32::from_be_bytes)?;
    let whole = usize::try_from(length).ok()?.checked_add(5)?;
    if bytes.len() < whole {
        return None;
    }
    Some(bytes.split_to(whole).freeze().slice(5..))
}

/// A message with the five bytes before it: not compressed, and how long it is.
fn frame(request: &impl Message) -> Bytes {
    let length = u32::try_from(request.encoded_len()).unwrap_or(u32::MAX);
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(length);
    bytes.put_slice(&request.encode_to_vec());
    bytes.freeze()
}

fn post(path: &str, namespace: Option<&str>, body: Bytes) -> Result<Request<Full<Bytes>>, Status> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(namespace) = namespace {
        request = request.header("containerd-namespace", namespace);
    }
    request.body(Full::new(body)).map_err(unavailable)
}

async fn exchange<Reply: Message + Default>(
    sender: &mut SendRequest<Full<Bytes>>,
    path: &str,
    namespace: Option<&str>,
    body: Bytes,
) -> Result<Reply, Status> {
    let request = post(path, namespace, body)?;
    let response = sender.send_request(request).await.map_err(unavailable)?;
    // An error without a message has its status among the headers.
    let headers = response.headers().clone();
    let collected = response.into_body().collect().await.map_err(unavailable)?;
    let trailers = collected.trailers().cloned().unwrap_or(headers);
    status(&trailers)?;
    let bytes = collected.to_bytes();
    let message = bytes.get(5..).unwrap_or_default();
    Reply::decode(message).map_err(|error| unavailable(format_args!("{path}: {error}")))
}

fn status(headers: &HeaderMap) -> Result<(), Status> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status").and_then(|code| code.parse().ok()) {
        Some(0) => Ok(()),
        Some(code) => Err(Status {
            code,
            message: percent_decoded(text("grpc-message").unwrap_or_default()),
        }),
        None => Err(unavailable("an answer without a status")),
    }
}

/// `grpc-message` writes what is not printable ASCII as `%XX`.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_how_long_it_is() {
        let framed = frame(&crate::cri::Id { id: "abc".into() });
        assert_eq!(framed.as_ref(), b"\0\0\0\0\x05\x0a\x03abc");
    }

    #[test]
    fn messages_of_a_stream_come_as_they_are_whole() {
        let id = crate::cri::Id { id: "abc".into() };
        let both = [frame(&id), frame(&id)].concat();
        let mut bytes = BytesMut::from(&both[..12]);
        assert_eq!(next_message(&mut bytes).unwrap().as_ref(), b"\x0a\x03abc");
        assert_eq!(next_message(&mut bytes), None);
        bytes.extend_from_slice(&both[12..]);
        assert_eq!(next_message(&mut bytes).unwrap().as_ref(), b"\x0a\x03abc");
        assert!(bytes.is_empty());
    }

    #[test]
    fn what_is_no_ascii_comes_as_percent() {
        assert_eq!(percent_decoded("a%0Ab 100% %C3%A4"), "a\nb 100% ä");
    }

    #[test]
    fn nobody_there_is_unavailable() {
        let nowhere = Path::new("/nonexistent/socket");
        let id = crate::cri::Id::default();
        let answer: Result<crate::cri::Id, _> =
            call(nowhere, "/a/b", None, &id, Duration::from_secs(1));
        assert_eq!(answer.unwrap_err().code, UNAVAILABLE);
    }
}
