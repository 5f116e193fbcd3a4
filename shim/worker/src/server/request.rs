//! One request: its turn, its answer, and what goes wrong with it.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{HOST, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use wasmtime_wasi_http::WasiBody;

use super::Handler;
use super::admission::Slot;
use super::connection::Surroundings;
use super::motion::Motion;
use super::progress::{Answering, Arriving, Progress, Stuck};
use crate::ending::{explain, say};

/// How long is read what a guest writes as the body of its answer to `HEAD`, at most: so long is a body that ends not cut
/// short, and one that does not end holds up neither its turn nor the server's end.
const UNWANTED: Duration = Duration::from_secs(5);

/// What the guest gives: an answer, or the name of an error.
pub(super) type Told = Result<Response<WasiBody>, String>;

type Answer = Response<Answering>;

/// Answers a request; when the guest does not, its log says why and the client gets a status that says whose
/// fault it is.
pub(super) async fn answer(surroundings: &Surroundings, request: Request<Incoming>) -> Answer {
    let _waiting = surroundings.motion.wait();
    let serving = surroundings.motion.serve();
    // A tunnel is nothing that a guest could make. An upgrade, which RFC 9110 (section 7.8) lets a server
    // ignore, is ignored: guests do not see these headers.
    if request.method() == Method::CONNECT {
        return plain(StatusCode::NOT_IMPLEMENTED);
    }
    let head = request.method() == Method::HEAD;
    let answer = match respond(surroundings, request).await {
        Ok(answer) if head => {
            let limit = surroundings.handler.patience.request;
            without_body(answer, limit.map_or(UNWANTED, |limit| limit.min(UNWANTED)))
        }
        Ok(answer) => answer,
        Err(status) => plain(status),
    };
    answer.map(|body| body.held(serving))
}

async fn respond(
    surroundings: &Surroundings,
    mut request: Request<Incoming>,
) -> Result<Answer, StatusCode> {
    let handler = &surroundings.handler;
    let what = Asked::of(&request);
    name_host(&mut request, surroundings.local);
    // From here on: what a request waits for its turn is not the guest's any more.
    let progress = Progress::new();
    let slot = handler.admission.enter().await;
    let slot = slot.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let (sender, mut receiver) = oneshot::channel();
    let motion = (request.version() < Version::HTTP_2).then(|| Arc::clone(&surroundings.motion));
    let request = request.map(|body| Arriving::new(body, &progress));
    let work = Work {
        handler: Arc::clone(handler),
        what: what.clone(),
        progress: Arc::clone(&progress),
        // With one request at a time, what moves on the connection is this one.
        motion,
        slot,
        _alive: surroundings.alive.clone(),
    };
    let mut guest = Guest(Some(Box::pin(work.run(request, sender))));
    let told = tokio::select! {
        biased;
        // Most are done at once, with an answer that is complete.
        ended = &mut guest => match receiver.try_recv() {
            Ok(told) => told,
            Err(_) => {
                // Else its log has been told how it ended.
                return Err(ended.err().unwrap_or_else(|| {
                    say(&format!("{what}: the guest ended without an answer"));
                    StatusCode::INTERNAL_SERVER_ERROR
                }));
            }
        },
        Ok(told) = &mut receiver => told,
    };
    match told {
        Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
            say(&format!(
                "{what}: the guest answered 101, which no client asked for"
            ));
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Ok(answer) => Ok(answer.map(|body| Answering::of_guest(body, progress))),
        Err(error) => {
            say(&format!(
                "{what}: the guest answered with an error: {error}"
            ));
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// What was asked, as the log has it.
#[derive(Clone)]
struct Asked {
    method: Method,
    uri: Uri,
}

impl Asked {
    fn of(request: &Request<Incoming>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.uri.path())
    }
}

/// How a guest ended, and what a client that got no answer is told.
type Ended = Result<(), StatusCode>;

/// A guest at work. When nobody polls it any more it becomes a task of its own: a guest may go on after it has
/// answered, and must come to its end when the client does not wait for it. Not from the start, since most are done
/// when they have answered, and a task costs a wake-up of another thread.
struct Guest(Option<Pin<Box<dyn Future<Output = Ended> + Send>>>);

impl Future for Guest {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let Some(work) = &mut self.0 else {
            return Poll::Pending;
        };
        let ended = ready!(work.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(ended)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Without a runtime the process is about to end.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

/// A request that the guest works on.
struct Work {
    handler: Arc<Handler>,
    what: Asked,
    progress: Arc<Progress>,
    motion: Option<Arc<Motion>>,
    slot: Slot,
    _alive: mpsc::Sender<()>,
}

impl Work {
    async fn run(
        self,
        request: Request<Arriving<Incoming>>,
        answer: oneshot::Sender<Told>,
    ) -> Ended {
        // Dropping the guest's future ends the guest: it gives way at each turn (signals::take_turns).
        let result = tokio::select! {
            biased;
            result = self.handler.call(request, &self.progress, answer) => Ok(result),
            stuck = self.stuck() => Err(stuck),
        };
        drop(self.slot);
        let (sentence, status) = match result {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => (explain(&error), StatusCode::INTERNAL_SERVER_ERROR),
            Err(stuck) => (self.handler.given_up(stuck), StatusCode::GATEWAY_TIMEOUT),
        };
        say(&format!("{}: {sentence}", self.what));
        Err(status)
    }

    /// Ends when the request has got stuck.
    async fn stuck(&self) -> Stuck {
        loop {
            let quiet = self.motion.as_ref().map(|motion| motion.silence());
            match self.progress.look(self.handler.patience, quiet) {
                Err(stuck) => {
                    if stuck == Stuck::Answering {
                        self.progress.fail();
                    }
                    return stuck;
                }
                Ok(Some(next)) => tokio::time::sleep(next).await,
                Ok(None) => std::future::pending().await,
            }
        }
    }
}

/// `wasi:http` wants an authority, which HTTP/1.0 health checks do not send.
fn name_host(request: &mut Request<Incoming>, local: Option<SocketAddr>) {
    if request.uri().authority().is_none() && !request.headers().contains_key(HOST) {
        let name = local.map_or_else(|| "localhost".to_owned(), |address| address.to_string());
        if let Ok(name) = HeaderValue::try_from(name) {
            request.headers_mut().insert(HOST, name);
        }
    }
}

/// The answer to `HEAD`. What the guest writes is read for a while, so that it can write it; then it is as if its client
/// had gone.
fn without_body(answer: Answer, limit: Duration) -> Answer {
    let (head, mut body) = answer.into_parts();
    if !body.is_end_stream() {
        tokio::spawn(async move {
            let read = async { while let Some(Ok(_)) = body.frame().await {} };
            // Who is still writing then is told so by the body's end here.
            let _ = tokio::time::timeout(limit, read).await;
        });
    }
    Response::from_parts(head, Answering::ours(Nothing.boxed_unsync()))
}

/// No body, but of unknown length: a length of 0 would contradict the guest's `Content-Length`.
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = wasmtime_wasi_http::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(None)
    }
}

fn plain(status: StatusCode) -> Answer {
    let body = match status.canonical_reason() {
        Some(reason) => {
            let text = Bytes::from_static(reason.as_bytes());
            Full::new(text)
                .map_err(|never| match never {})
                .boxed_unsync()
        }
        None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
    };
    let mut answer = Response::new(Answering::ours(body));
    *answer.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let soon = HeaderValue::from_static("1");
        answer.headers_mut().insert(RETRY_AFTER, soon);
    }
    answer
}
