//! HTTP requests of a guest: the pod's network, its DNS, and TLS with the container's own authorities.

mod authorities;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use slipway_shim_options::Network;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::Invocation;

pub(crate) use authorities::Authorities;

/// What a guest that does not say waits for a connection, for an answer, and for the answer to go on, as
/// `wasmtime serve` does.
const PATIENCE: Duration = Duration::from_secs(600);

/// How a guest's requests are sent.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    network: Network,
    authorities: Arc<Authorities>,
}

impl Outbound {
    pub(crate) fn new(invocation: &Invocation) -> Self {
        Self {
            network: invocation.options.network,
            authorities: Arc::new(Authorities::new(invocation.variable("SSL_CERT_FILE"))),
        }
    }
}

/// What the interface wants beside the answer: how sending the request went on.
type Sending = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answered = Result<(Response<WasiBody>, Sending), Error>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Sending,
    ) -> Box<dyn Future<Output = Answered> + Send> {
        if self.network == Network::None {
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        }
        let authorities = Arc::clone(&self.authorities);
        Box::new(async move {
            let answer = send(request, options, &authorities).await?;
            let answer = answer.map(BodyExt::boxed_unsync);
            Ok((answer, Box::new(std::future::ready(Ok(()))) as Sending))
        })
    }
}

async fn send(
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
    authorities: &Authorities,
) -> Result<Response<Received>, Error> {
    let patience = |given: fn(&RequestOptions) -> Option<Duration>| {
        options.as_ref().and_then(given).unwrap_or(PATIENCE)
    };
    let connecting = patience(|options| options.connect_timeout);
    let sender = timeout(connecting, connect(request.uri(), authorities));
    let sender = sender.await.map_err(|_| Error::ConnectionTimeout)??;
    let first = patience(|options| options.first_byte_timeout);
    let Connected { sender, driver } = sender;
    let answer = timeout(first, sender.send(request));
    let answer = answer.await.map_err(|_| Error::ConnectionReadTimeout)??;
    let between = patience(|options| options.between_bytes_timeout);
    Ok(answer.map(|body| Received {
        body,
        between,
        deadline: Box::pin(sleep(between)),
        _driver: driver,
    }))
}

/// A connection that is ready for one request.
struct Connected {
    sender: Sender,
    driver: Driver,
}

enum Sender {
    Http1(http1::SendRequest<WasiBody>),
    Http2(http2::SendRequest<WasiBody>),
}

/// Moves the connection's bytes, as long as somebody wants them.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn connect(uri: &Uri, authorities: &Authorities) -> Result<Connected, Error> {
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    let tls = uri.scheme() == Some(&Scheme::HTTPS);
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    // An IPv6 address stands in brackets (RFC 3986, section 3.2.2).
    let host = authority.host();
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);

    let addresses = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<_> = addresses.map_err(|error| unknown(&error))?.collect();
    let stream = TcpStream::connect(addresses.as_slice());
    let stream = stream.await.map_err(unreachable)?;
    // Requests are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    if !tls {
        return over_http1(stream).await;
    }
    let name = ServerName::try_from(host.to_owned())?;
    let config = authorities.config()?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    let stream = stream.map_err(untrusted)?;
    if stream.get_ref().1.alpn_protocol() == Some(authorities::HTTP2) {
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        return Ok(Connected {
            sender: Sender::Http2(sender),
            driver: drive(connection),
        });
    }
    over_http1(stream).await
}

async fn over_http1(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Connected, Error> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    Ok(Connected {
        sender: Sender::Http1(sender),
        driver: drive(connection),
    })
}

/// What goes wrong with a connection is told to whoever sends or reads.
fn drive<E>(connection: impl Future<Output = Result<(), E>> + Send + 'static) -> Driver
where
    E: Send + 'static,
{
    Driver(tokio::spawn(async move {
        let _ = connection.await;
    }))
}

impl Sender {
    async fn send(self, mut request: Request<WasiBody>) -> Result<Response<Incoming>, Error> {
        let answer = match self {
            Self::Http1(mut sender) => {
                // The whole address is for proxies only (RFC 9112, section 3.2).
                let path = request.uri().path_and_query().cloned();
                let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
                *request.uri_mut() = Uri::from(path);
                sender.send_request(request).await
            }
            Self::Http2(mut sender) => {
                // `:authority` says it (RFC 9113, section 8.3.1).
                request.headers_mut().remove(HOST);
                *request.version_mut() = Version::HTTP_2;
                sender.send_request(request).await
            }
        };
        answer.map_err(Error::from)
    }
}

/// A name that there is no address for.
fn unknown(error: &io::Error) -> Error {
    Error::DnsError {
        rcode: Some(error.to_string()),
        info_code: None,
    }
}

fn unreachable(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Error::DestinationIpUnroutable
        }
        io::ErrorKind::PermissionDenied => Error::DestinationIpProhibited,
        _ => Error::Connect(error),
    }
}

fn untrusted(error: io::Error) -> Error {
    let certificate = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)));
    if certificate {
        Error::TlsCertificateError
    } else {
        Error::Tls(error)
    }
}

/// The body of an answer.
struct Received {
    body: Incoming,
    between: Duration,
    deadline: Pin<Box<Sleep>>,
    _driver: Driver,
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                let next = tokio::time::Instant::now() + self.between;
                self.deadline.as_mut().reset(next);
                Poll::Ready(frame.map(|frame| frame.map_err(Error::from)))
            }
            Poll::Pending => {
                ready!(self.deadline.as_mut().poll(context));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
