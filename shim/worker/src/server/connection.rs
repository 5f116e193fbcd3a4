//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Version;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::motion::{Motion, silent_for, still_for};
use super::stream::{Protocol, Stream};
use super::{Handler, request};

/// Bytes of a request's line and headers, together.
const HEAD: usize = 64 << 10;
/// Requests at a time on one HTTP/2 connection; RFC 9113 (section 6.5.2) advises no less.
const STREAMS: u32 = 100;
/// What a client may send ahead of the guest's reading: of one request, and of all of a connection.
const WINDOWS: (u32, u32) = (128 << 10, 512 << 10);
/// What is kept of an answer for a slow client, of one request of an HTTP/2 connection.
const SEND_BUFFER: usize = 128 << 10;
/// How long a drained connection may still bring a request: one that was on its way when the server was
/// told to stop is answered, with `Connection: close`.
const LINGER: Duration = Duration::from_secs(1);
/// How long a drained connection may be silent with a request half come, or an answer half gone that its client does not
/// take. A guest may take its time for the rest of one.
const LAST_SILENCE: Duration = Duration::from_secs(5);

/// What a connection is given.
pub(super) struct Surroundings {
    pub(super) handler: Arc<Handler>,
    /// Turns true when the server is to stop.
    pub(super) drain: watch::Receiver<bool>,
    /// Is kept as long as anything goes on.
    pub(super) alive: mpsc::Sender<()>,
    pub(super) local: Option<SocketAddr>,
    pub(super) motion: Arc<Motion>,
}

impl Surroundings {
    /// Whether the connection is to end after what has begun: with the server, or to make room for another.
    pub(super) fn draining(&self) -> bool {
        *self.drain.borrow() || self.motion.is_asked_to_leave()
    }

    async fn told_to_stop(&self) {
        let mut drain = self.drain.clone();
        tokio::select! {
            // An error is the server's end, which asks the same.
            _ = drain.wait_for(|draining| *draining) => {}
            () = self.motion.asked_to_leave() => {}
        }
    }
}

/// Serves a connection until either side has enough of it.
pub(super) async fn serve(
    stream: TcpStream,
    surroundings: Surroundings,
    _permit: OwnedSemaphorePermit,
) {
    // Answers are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let handler = Arc::clone(&surroundings.handler);
    let _ending = handler.endings.one();
    let surroundings = Arc::new(surroundings);
    tokio::select! {
        () = speak(stream, &surroundings) => {}
        () = silence(&surroundings) => {}
    }
}

/// Ends when the connection has been silent for too long. That of a guest is told apart only when the server ends: before,
/// the same time ends the guest.
async fn silence(surroundings: &Surroundings) {
    let motion = &surroundings.motion;
    let idle = surroundings.handler.idle_timeout;
    let idle = async {
        match idle {
            Some(limit) => silent_for(motion, limit).await,
            None => std::future::pending().await,
        }
    };
    let last = async {
        surroundings.told_to_stop().await;
        still_for(motion, LAST_SILENCE).await;
    };
    tokio::select! {
        () = idle => {}
        () = last => {}
    }
}

/// What a client does wrong, or that it went away, is not the container's log's business: results are not
/// looked at.
async fn speak(stream: TcpStream, surroundings: &Arc<Surroundings>) {
    let mut stream = Stream::new(stream, &surroundings.motion);
    let protocol = tokio::select! {
        protocol = stream.protocol() => protocol,
        // Nothing has been said yet that deserves an answer.
        () = lull(surroundings) => return,
    };
    let service = {
        let surroundings = Arc::clone(surroundings);
        service_fn(move |request| {
            let surroundings = Arc::clone(&surroundings);
            async move {
                // HTTP/2 has no such header (RFC 9113, section 8.2.2).
                let one_by_one = request.version() < Version::HTTP_2;
                let mut answer = request::answer(&surroundings, request).await;
                if one_by_one && surroundings.draining() {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(answer)
            }
        })
    };
    match protocol {
        Ok(Protocol::Http1) => {
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(surroundings.handler.idle_timeout)
                .max_buf_size(HEAD)
                .serve_connection(stream, service);
            let mut serving = pin!(serving);
            tokio::select! {
                _ = serving.as_mut() => return,
                () = lull(surroundings) => {}
            }
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
        Ok(Protocol::Http2) => {
            let serving = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
                .max_concurrent_streams(STREAMS)
                .initial_stream_window_size(WINDOWS.0)
                .initial_connection_window_size(WINDOWS.1)
                .max_send_buf_size(SEND_BUFFER)
                .serve_connection(stream, service);
            let mut serving = pin!(serving);
            // GOAWAY says which requests are still answered, so there is nothing to wait for.
            tokio::select! {
                _ = serving.as_mut() => return,
                () = surroundings.told_to_stop() => {}
            }
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
        Err(_) => {}
    }
}

/// Ends when the server is to stop and the connection has nothing on its way any more.
async fn lull(surroundings: &Surroundings) {
    surroundings.told_to_stop().await;
    silent_for(&surroundings.motion, LINGER).await;
}
