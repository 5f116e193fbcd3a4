//! One unary gRPC call over a unix socket (the gRPC protocol: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md).

use std::path::Path;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::header::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;

use super::CriError;

/// containerd's own limit for a message is 16 MiB (`DefaultMaxRecvMsgSize`, defaults@v2.0).
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Bytes before a message: one for compression, four for the length.
const FRAME: usize = 5;

/// Calls a method of `runtime.v1.RuntimeService`.
pub(super) async fn unary<Q, A>(
    socket: &Path,
    method: &'static str,
    request: &Q,
) -> Result<A, CriError>
where
    Q: prost::Message,
    A: prost::Message + Default,
{
    let transport =
        |source: Box<dyn std::error::Error + Send + Sync>| CriError::Transport { method, source };
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| CriError::Connect {
            socket: socket.to_owned(),
            source,
        })?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| transport(error.into()))?;
    // Ends when the sender is dropped.
    let driver = tokio::spawn(connection);

    let request = Request::post(format!(
        "http://localhost/runtime.v1.RuntimeService/{method}"
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .body(Full::new(frame(request)))
    .map_err(|error| transport(error.into()))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| transport(error.into()))?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER)
        .collect()
        .await
        .map_err(transport)?;
    // An error without a message comes as headers only ("Trailers-Only").
    check(method, body.trailers().unwrap_or(&head.headers))?;
    drop(sender);
    driver.abort();

    let bytes = body.to_bytes();
    let message = unframe(&bytes).ok_or(CriError::Incomplete {
        method,
        what: "a whole uncompressed message",
    })?;
    A::decode(message).map_err(|error| transport(error.into()))
}

fn frame(message: &impl prost::Message) -> Bytes {
    let encoded = message.encode_to_vec();
    let mut framed = BytesMut::with_capacity(FRAME + encoded.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(encoded.len()).unwrap_or(u32::MAX));
    framed.put_slice(&encoded);
    framed.freeze()
}

fn unframe(bytes: &[u8]) -> Option<&[u8]> {
    let (head, message) = bytes.split_at_checked(FRAME)?;
    let length = u32::from_be_bytes(head[1..].try_into().ok()?);
    (head[0] == 0 && usize::try_from(length).ok()? == message.len()).then_some(message)
}

fn check(method: &'static str, trailers: &HeaderMap) -> Result<(), CriError> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status").and_then(|code| code.parse().ok()) {
        Some(0) => Ok(()),
        Some(code) => Err(CriError::Status {
            method,
            code,
            message: text("grpc-message").unwrap_or_default().to_owned(),
        }),
        None => Err(CriError::Incomplete {
            method,
            what: "a status",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::StatusRequest;
    use super::*;

    #[test]
    fn a_message_survives_its_frame_and_a_cut_one_does_not() {
        let framed = frame(&StatusRequest { verbose: true });
        assert_eq!(framed.as_ref(), [0, 0, 0, 0, 2, 8, 1]);
        assert_eq!(unframe(&framed), Some(&[8, 1][..]));
        assert_eq!(unframe(&framed[..6]), None);
        assert_eq!(unframe(&[]), None);
        assert_eq!(unframe(&[1, 0, 0, 0, 0]), None, "compressed");
    }

    #[test]
    fn the_status_is_in_the_trailers() {
        let mut trailers = HeaderMap::new();
        assert!(matches!(
            check("Status", &trailers),
            Err(CriError::Incomplete { .. })
        ));
        trailers.insert("grpc-status", "12".parse().unwrap());
        assert!(matches!(
            check("Status", &trailers),
            Err(CriError::Status { code: 12, .. })
        ));
        trailers.insert("grpc-status", "0".parse().unwrap());
        assert!(check("Status", &trailers).is_ok());
    }
}
