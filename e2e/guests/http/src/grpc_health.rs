//! The health service of gRPC (`grpc.health.v1.Health/Check`), which the kubelet's `grpc` probes ask. Its one message
//! each way is small enough to be read and written by hand.
//!
//! | service asked for | answer |
//! |---|---|
//! | none, `up` | `SERVING` |
//! | `down` | `NOT_SERVING` |
//! | another | the status `NOT_FOUND` |

use wstd::http::body::Bytes;
use wstd::http::body::util::{BodyExt, Full};
use wstd::http::{Body, Error, HeaderMap, HeaderValue, Request, Response};

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Values of `HealthCheckResponse.ServingStatus`.
const SERVING: u8 = 1;
const NOT_SERVING: u8 = 2;

/// Status codes of gRPC (`google.rpc.Code`).
const OK: HeaderValue = HeaderValue::from_static("0");
const INVALID_ARGUMENT: HeaderValue = HeaderValue::from_static("3");
const NOT_FOUND: HeaderValue = HeaderValue::from_static("5");
const UNIMPLEMENTED: HeaderValue = HeaderValue::from_static("12");

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let (message, code) = match (path.as_str(), service(body.contents().await?)) {
        (CHECK, Some("" | "up")) => (status(SERVING), OK),
        (CHECK, Some("down")) => (status(NOT_SERVING), OK),
        (CHECK, Some(_)) => (Bytes::new(), NOT_FOUND),
        (CHECK, None) => (Bytes::new(), INVALID_ARGUMENT),
        _ => (Bytes::new(), UNIMPLEMENTED),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code);
    let body = Full::new(message)
        .map_err(Error::from)
        .with_trailers(async move { Some(Ok(trailers)) });
    Ok(Response::builder()
        .header("content-type", "application/grpc")
        .body(Body::from_http_body(body))?)
}

/// A message of gRPC: not compressed, its length, and `HealthCheckResponse` with its field 1.
fn status(status: u8) -> Bytes {
    Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 0x08, status])
}

/// The service that a `HealthCheckRequest` names in its field 1: none if the message is empty.
fn service(body: &[u8]) -> Option<&str> {
    let message = match body {
        [0, a, b, c, d, message @ ..] => {
            let length = u32::from_be_bytes([*a, *b, *c, *d]);
            (length as usize == message.len()).then_some(message)?
        }
        _ => return None,
    };
    match message {
        [] => Some(""),
        [0x0a, length, name @ ..] if usize::from(*length) == name.len() => {
            str::from_utf8(name).ok()
        }
        _ => None,
    }
}
