//! gRPC over HTTP/2 on a Unix socket (gRPC's `PROTOCOL-HTTP2.md`): as much of it as three calls need.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, StatusCode};
use prost::Message;
use tokio::net::UnixStream;

use crate::ImageError;
use crate::error::excerpt;

/// gRPC's status of what is not there.
pub(crate) const NOT_FOUND: u32 = 5;

/// The longest message that is taken; containerd limits its own to 16 MiB (`defaults.DefaultMaxRecvMsgSize`).
const MAX_MESSAGE: usize = 16 << 20;

/// How long containerd may be silent in the middle of a call.
const SILENCE: Duration = Duration::from_secs(20);

/// A megabyte at a time: containerd sends content in such pieces (`contentserver`, `bufPool`).
const WINDOW: u32 = 4 << 20;

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    requests: SendRequest<Bytes>,
    namespace: String,
}

/// One call: its name in messages, and its path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
}

impl Client {
    pub(crate) async fn connect(address: &str, namespace: &str) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Connect {
            address: address.to_owned(),
            source,
        };
        let path = address.strip_prefix("unix://").unwrap_or(address);
        let socket = in_time(UnixStream::connect(path)).await.map_err(failed)?;
        let (requests, connection) = in_time(
            h2::client::Builder::new()
                .initial_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .handshake(socket),
        )
        .await
        .map_err(failed)?;
        // Its error is that of the calls on it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self {
            requests,
            namespace: namespace.to_owned(),
        })
    }

    /// Calls, and gives each message of the answer to `each`.
    pub(crate) async fn call(
        &mut self,
        call: Call,
        request: &impl Message,
        mut each: impl FnMut(Bytes) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let failed = |reason: &dyn std::fmt::Display| ImageError::Call {
            call: call.name,
            reason: excerpt(&reason.to_string()),
        };
        let head = Request::builder()
            .method(Method::POST)
            .uri(format!("http://localhost{}", call.path))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("containerd-namespace", &self.namespace)
            .body(())
            .map_err(|error| failed(&error))?;
        std::future::poll_fn(|context| self.requests.poll_ready(context))
            .await
            .map_err(|error| failed(&error))?;
        let (response, mut body) = self
            .requests
            .send_request(head, false)
            .map_err(|error| failed(&error))?;
        body.send_data(frame(request), true)
            .map_err(|error| failed(&error))?;

        let response = in_time(response).await.map_err(|error| failed(&error))?;
        if response.status() != StatusCode::OK {
            return Err(failed(&format_args!("HTTP status {}", response.status())));
        }
        // An error without an answer comes as headers alone.
        judge(call, response.headers())?;
        let mut body = response.into_body();
        let mut received = BytesMut::new();
        while let Some(chunk) = in_time(async { body.data().await.transpose() })
            .await
            .map_err(|error| failed(&error))?
        {
            received.extend_from_slice(&chunk);
            body.flow_control()
                .release_capacity(chunk.len())
                .map_err(|error| failed(&error))?;
            while let Some(message) = take(&mut received).map_err(|reason| failed(&reason))? {
                each(message)?;
            }
        }
        let trailers = in_time(body.trailers()).await;
        match trailers.map_err(|error| failed(&error))? {
            Some(trailers) => judge(call, &trailers),
            None => Err(failed(&"the answer was cut off")),
        }
    }

    /// Calls for one message.
    pub(crate) async fn get<M: Message + Default>(
        &mut self,
        call: Call,
        request: &impl Message,
    ) -> Result<M, ImageError> {
        let mut answer = None;
        self.call(call, request, |message| {
            answer = Some(decode(call, message)?);
            Ok(())
        })
        .await?;
        answer.ok_or_else(|| ImageError::Call {
            call: call.name,
            reason: "no answer".to_owned(),
        })
    }
}

pub(crate) fn decode<M: Message + Default>(call: Call, message: Bytes) -> Result<M, ImageError> {
    M::decode(message).map_err(|error| ImageError::Call {
        call: call.name,
        reason: excerpt(&error.to_string()),
    })
}

async fn in_time<T, E: Into<Error>>(
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, io::Error> {
    match tokio::time::timeout(SILENCE, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(match error.into() {
            Error::Io(error) => error,
            Error::Http(error) => io::Error::other(error),
        }),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("silent for {} seconds", SILENCE.as_secs()),
        )),
    }
}

enum Error {
    Io(io::Error),
    Http(h2::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<h2::Error> for Error {
    fn from(error: h2::Error) -> Self {
        Self::Http(error)
    }
}

/// A message behind its flag (not compressed) and length.
fn frame(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut frame = Vec::with_capacity(5 + body.len());
    frame.push(0);
    // Names and digests: never near the limit.
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(&body);
    frame.into()
}

/// The first whole message of what has come.
fn take(received: &mut BytesMut) -> Result<Option<Bytes>, String> {
    let Some((&[flag, a, b, c, d], rest)) = received.split_first_chunk::<5>() else {
        return Ok(None);
    };
    if flag != 0 {
        return Err("the answer is compressed, which was not asked for".to_owned());
    }
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > MAX_MESSAGE {
        return Err(format!("a message of {length} bytes"));
    }
    if rest.len() < length {
        return Ok(None);
    }
    received.advance(5);
    Ok(Some(received.split_to(length).freeze()))
}

/// `grpc-status` and `grpc-message`, where they are.
fn judge(call: Call, headers: &HeaderMap) -> Result<(), ImageError> {
    let Some(status) = headers.get("grpc-status") else {
        return Ok(());
    };
    // What is no number is an unknown error (2).
    let code = status.to_str().ok().and_then(|text| text.parse().ok());
    match code.unwrap_or(2) {
        0 => Ok(()),
        code => Err(ImageError::Refused {
            call: call.name,
            code,
            message: headers
                .get("grpc-message")
                .map(|message| excerpt(&String::from_utf8_lossy(message.as_bytes())))
                .unwrap_or_default(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_out_one_by_one() {
        let mut received = BytesMut::from(&b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\x09x"[..]);
        assert_eq!(take(&mut received), Ok(Some(Bytes::from_static(b"ab"))));
        assert_eq!(take(&mut received), Ok(Some(Bytes::new())));
        assert_eq!(take(&mut received), Ok(None));
        assert!(take(&mut BytesMut::from(&b"\x01\0\0\0\0"[..])).is_err());
        assert!(take(&mut BytesMut::from(&b"\0\xff\xff\xff\xff"[..])).is_err());
    }
}
