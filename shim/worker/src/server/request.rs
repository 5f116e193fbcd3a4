//! One request: an instance, its answer, and what goes wrong with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmtime::Store;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::Handler;
use crate::ending::{explain, say};
use crate::host::ComponentHost;
use crate::memory::Share;

type Answer = Response<HyperOutgoingBody>;
type Told = Result<Answer, ErrorCode>;

/// Answers a request; when the guest does not, its log says why and the client gets a 500.
pub(super) async fn answer(
    handler: &Arc<Handler>,
    request: Request<Incoming>,
    local: Option<SocketAddr>,
) -> Answer {
    let what = format!("{} {}", request.method(), request.uri().path());
    match respond(handler, request, local, what).await {
        Ok(answer) => answer,
        Err(status) => plain(status),
    }
}

async fn respond(
    handler: &Arc<Handler>,
    mut request: Request<Incoming>,
    local: Option<SocketAddr>,
    what: String,
) -> Result<Answer, StatusCode> {
    name_host(&mut request, local);
    let slot = Arc::clone(&handler.slots).acquire_owned().await;
    let slot = slot.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let (sender, receiver) = oneshot::channel();
    // A task of its own: a guest may go on after it has answered, and must come to its end when the
    // client does not wait for it.
    let guest = tokio::spawn(run(
        Arc::clone(handler),
        request,
        sender,
        what.clone(),
        slot,
    ));
    match receiver.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            say(&format!(
                "{what}: the guest answered with an error: {error:?}"
            ));
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        }
        // The guest has ended, and its task has said how.
        Err(_) => match guest.await {
            Ok(Err(status)) => Err(status),
            Ok(Ok(())) | Err(_) => {
                say(&format!("{what}: the guest ended without an answer"));
                Err(StatusCode::INTERNAL_SERVER_ERROR)
            }
        },
    }
}

async fn run(
    handler: Arc<Handler>,
    request: Request<Incoming>,
    answer: oneshot::Sender<Told>,
    what: String,
    slot: OwnedSemaphorePermit,
) -> Result<(), StatusCode> {
    let result = call(&handler, request, answer).await;
    drop(slot);
    result.map_err(|error| {
        say(&format!("{what}: {}", explain(&error)));
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

async fn call(
    handler: &Handler,
    request: Request<Incoming>,
    answer: oneshot::Sender<Told>,
) -> wasmtime::Result<()> {
    let id = handler.requests.fetch_add(1, Ordering::Relaxed);
    let share = Share::of(&handler.budget);
    let host = ComponentHost::request(&handler.invocation, &handler.output, share, id)?;
    let mut store = Store::new(handler.pre.engine(), host);
    store.limiter(|host| &mut host.memory);
    // A turn, then the others'.
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    let request = store
        .data_mut()
        .http()
        .new_incoming_request(Scheme::Http, request)?;
    let answer = store.data_mut().http().new_response_outparam(answer)?;
    let proxy = handler.pre.instantiate_async(&mut store).await?;
    proxy
        .wasi_http_incoming_handler()
        .call_handle(&mut store, request, answer)
        .await
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

fn plain(status: StatusCode) -> Answer {
    let text = status.canonical_reason().unwrap_or_default();
    let body = Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}
