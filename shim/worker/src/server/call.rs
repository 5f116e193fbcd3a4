//! The call of a guest's handler, by the version of WASI that it is of.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::HOST;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Uri};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme as Scheme2;
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView};

use super::progress::Arriving;
use super::request::Told;
use crate::host::ComponentHost;

/// `wasi:http/incoming-handler@0.2`: the guest answers on the way.
pub(super) async fn p2(
    store: &mut Store<ComponentHost>,
    proxy: &Proxy,
    request: Request<Arriving<Incoming>>,
    answer: oneshot::Sender<Told>,
) -> wasmtime::Result<()> {
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme2::Http, request)?;
    let mut answer = Some(answer);
    let answer = http.new_response_outparam_from_callback(move |told| {
        if let Some(answer) = answer.take() {
            // Nobody may be there any more.
            let _ = answer.send(told.map_err(|code| format!("{code:?}")));
        }
    })?;
    proxy
        .wasi_http_incoming_handler()
        .call_handle(store, request, answer)
        .await
}

/// `wasi:http/handler@0.3`: the guest returns its answer, and may go on.
pub(super) async fn p3(
    store: &mut Store<ComponentHost>,
    service: &Service,
    request: Request<Arriving<Incoming>>,
    answer: oneshot::Sender<Told>,
) -> wasmtime::Result<()> {
    let hooks = store.data_mut().http().hooks;
    let (request, received) = p3::Request::from_http(hooks, absolute(request));
    store
        .run_concurrent(async |accessor| -> wasmtime::Result<()> {
            let told = match service.handle(accessor, request).await? {
                Ok(response) => Ok(accessor.with(|store| response.into_http(store, received))?),
                Err(code) => Err(format!("{code:?}")),
            };
            let (gone, body_gone) = oneshot::channel();
            let told =
                told.map(|answer| answer.map(|body| Held { body, _gone: gone }.boxed_unsync()));
            let _ = answer.send(told);
            // A body that the guest only passes on moves when its task has ended already.
            let _ = body_gone.await;
            poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
            Ok(())
        })
        .await?
}

/// With the scheme and the authority, which guests are told apart from the headers.
fn absolute<B>(mut request: Request<B>) -> Request<B> {
    let host = request.headers().get(HOST);
    let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = parts.authority.or(host);
    let path = parts.path_and_query;
    parts.path_and_query = path.or_else(|| Some(PathAndQuery::from_static("/")));
    // Not without an authority, which a `Host` that is none leaves.
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// A body that tells when nobody wants it any more, by dropping a sender.
struct Held {
    body: WasiBody,
    _gone: oneshot::Sender<()>,
}

impl Body for Held {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
