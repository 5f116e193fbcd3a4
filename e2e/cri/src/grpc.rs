//! gRPC over a Unix socket, as much of it as one call with one answer needs.
//!
//! Each call has a connection of its own, so nothing has to be mended when containerd comes back.

use std::path::Path;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
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

/// Calls `path` (`/package.Service/Method`) and waits for the answer.
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(unavailable)?;
    runtime.block_on(async {
        let answer = exchange(socket, path, namespace, frame(request));
        match tokio::time::timeout(timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(unavailable(format_args!(
                "{path}: no answer in {timeout:?}"
            ))),
        }
    })
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

async fn exchange<Reply: Message + Default>(
    socket: &Path,
    path: &str,
    namespace: Option<&str>,
    body: Bytes,
) -> Result<Reply, Status> {
    let stream = tokio::net::UnixStream::connect(socket)
        .await
        .map_err(|error| unavailable(format_args!("{}: {error}", socket.display())))?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(unavailable)?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(namespace) = namespace {
        request = request.header("containerd-namespace", namespace);
    }
    let request = request.body(Full::new(body)).map_err(unavailable)?;
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
