//! One HTTP connection: directly or through a proxy, and with TLS wherever the bytes leave this machine.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::failure::Reason;

/// For the connection, the proxy and TLS together.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// More authorities than any organisation has.
const MAX_CA_BYTES: u64 = 4 * 1024 * 1024;

/// Makes connections.
#[derive(Debug)]
pub struct Dialer {
    tls: Arc<ClientConfig>,
    proxies: Matcher,
    allow_http: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file of authorities.
    #[error("the authorities in {path} cannot be used: {why}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// In words.
        why: String,
    },
    /// The address is not one to download from.
    #[error("{url} cannot be fetched: {why}")]
    Url {
        /// The address.
        url: String,
        /// In words.
        why: &'static str,
    },
    /// Nobody answers.
    #[error("cannot connect to {peer}")]
    Connect {
        /// Host and port.
        peer: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The proxy does not want to.
    #[error("the proxy {proxy} refuses a connection to {peer}: {status}")]
    Proxy {
        /// The proxy.
        proxy: String,
        /// Host and port behind it.
        peer: String,
        /// What it said.
        status: StatusCode,
    },
    /// HTTP.
    #[error("the connection to {peer} broke")]
    Http {
        /// Host and port.
        peer: String,
        /// The cause.
        #[source]
        source: hyper::Error,
    },
}

impl ConnectError {
    /// Whether another try may end otherwise.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Authorities { .. } | Self::Url { .. } => false,
            // A certificate stays what it is.
            Self::Connect { source, .. } => source.kind() != io::ErrorKind::InvalidData,
            Self::Proxy { status, .. } => status.is_server_error(),
            Self::Http { .. } => true,
        }
    }
}

impl Reason for ConnectError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Authorities { .. } => "AuthoritiesUnusable",
            Self::Url { .. } => "UrlRefused",
            _ => "DownloadFailed",
        }
    }
}

/// A connection on which one request can be sent, and how a request names its target there.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Empty<Bytes>>,
    pub(super) target: Uri,
    pub(super) proxy_authorization: Option<HeaderValue>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Dialer {
    /// With the usual authorities of the web and those of a file, and with the proxy that the environment names
    /// (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`).
    ///
    /// # Errors
    /// When the file holds no certificates.
    pub fn new(authorities: Option<&Path>, allow_http: bool) -> Result<Self, ConnectError> {
        Self::through(Matcher::from_env(), authorities, allow_http)
    }

    /// The same with a proxy of one's own for everything: its address, or none.
    ///
    /// # Errors
    /// When the file holds no certificates.
    pub fn with_proxy(
        proxy: Option<&str>,
        authorities: Option<&Path>,
        allow_http: bool,
    ) -> Result<Self, ConnectError> {
        let matcher = Matcher::builder().all(proxy.unwrap_or_default().to_owned());
        Self::through(matcher.build(), authorities, allow_http)
    }

    fn through(
        proxies: Matcher,
        authorities: Option<&Path>,
        allow_http: bool,
    ) -> Result<Self, ConnectError> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        if let Some(path) = authorities {
            add(&mut roots, path).map_err(|why| ConnectError::Authorities {
                path: path.to_owned(),
                why,
            })?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ConnectError::Authorities {
                path: PathBuf::new(),
                why: error.to_string(),
            })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(tls),
            proxies,
            allow_http,
        })
    }

    /// An address that may be fetched: HTTPS, or HTTP that does not leave this machine or was allowed.
    pub(super) fn check(&self, url: &str) -> Result<Uri, ConnectError> {
        let refused = |why| ConnectError::Url {
            url: url.to_owned(),
            why,
        };
        let uri: Uri = url.parse().map_err(|_| refused("it is no URL"))?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| refused("it names no host"))?;
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(refused("a name or password in it would end up in logs"));
        }
        match uri.scheme_str() {
            Some("https") => Ok(uri),
            Some("http") if self.allow_http || is_loopback(host) => Ok(uri),
            Some("http") => Err(refused(
                "plain HTTP can be read and changed by anybody on the way: use https",
            )),
            _ => Err(refused("only https is known")),
        }
    }

    /// Connects for one request.
    pub(super) async fn connect(&self, uri: &Uri) -> Result<Connection, ConnectError> {
        let peer = peer_of(uri);
        match tokio::time::timeout(CONNECT_LIMIT, self.connect_within(uri, &peer)).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::Connect {
                peer,
                source: io::ErrorKind::TimedOut.into(),
            }),
        }
    }

    async fn connect_within(&self, uri: &Uri, peer: &str) -> Result<Connection, ConnectError> {
        let secure = uri.scheme_str() == Some("https");
        let proxy = self.proxies.intercept(uri);
        let stream: Box<dyn Stream> = match &proxy {
            None => Box::new(dial(peer).await?),
            Some(proxy) => {
                check_proxy(proxy)?;
                let stream = dial(&peer_of(proxy.uri())).await?;
                if secure {
                    tunnel(stream, proxy, peer).await?
                } else {
                    Box::new(stream)
                }
            }
        };
        let stream = if secure {
            self.encrypt(stream, uri, peer).await?
        } else {
            stream
        };
        let sender = handshake(stream, peer).await?;
        // A proxy is told the whole address, a server only its own part.
        let proxied = proxy.filter(|_| !secure);
        let target = match &proxied {
            Some(_) => uri.clone(),
            None => uri
                .path_and_query()
                .cloned()
                .map(Uri::from)
                .unwrap_or_default(),
        };
        Ok(Connection {
            sender,
            target,
            proxy_authorization: proxied.and_then(|proxy| proxy.basic_auth().cloned()),
        })
    }

    async fn encrypt(
        &self,
        stream: Box<dyn Stream>,
        uri: &Uri,
        peer: &str,
    ) -> Result<Box<dyn Stream>, ConnectError> {
        let host = uri.host().unwrap_or_default();
        let name = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(name).map_err(|_| ConnectError::Url {
            url: uri.to_string(),
            why: "its host is no name that a certificate can have",
        })?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await;
        Ok(Box::new(stream.map_err(|source| {
            ConnectError::Connect {
                peer: peer.to_owned(),
                source,
            }
        })?))
    }
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let meta = fs::metadata(path).map_err(|error| error.to_string())?;
    if meta.len() > MAX_CA_BYTES {
        return Err(format!("it has more than {MAX_CA_BYTES} bytes"));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        found = true;
    }
    if found {
        Ok(())
    } else {
        Err("there is no certificate in it".to_owned())
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Host and port.
fn peer_of(uri: &Uri) -> String {
    let port = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    format!(
        "{}:{}",
        uri.host().unwrap_or_default(),
        uri.port_u16().unwrap_or(port)
    )
}

async fn dial(peer: &str) -> Result<TcpStream, ConnectError> {
    TcpStream::connect(peer)
        .await
        .map_err(|source| ConnectError::Connect {
            peer: peer.to_owned(),
            source,
        })
}

fn check_proxy(proxy: &Intercept) -> Result<(), ConnectError> {
    if proxy.uri().scheme_str() == Some("http") {
        return Ok(());
    }
    Err(ConnectError::Url {
        url: proxy.uri().to_string(),
        why: "only proxies at http:// are known",
    })
}

async fn handshake(
    stream: impl Stream + 'static,
    peer: &str,
) -> Result<SendRequest<Empty<Bytes>>, ConnectError> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|source| ConnectError::Http {
            peer: peer.to_owned(),
            source,
        })?;
    // Ends with the sender and the answer's body.
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

/// Asks a proxy for a connection through it (RFC 9110, 9.3.6).
async fn tunnel(
    stream: TcpStream,
    proxy: &Intercept,
    peer: &str,
) -> Result<Box<dyn Stream>, ConnectError> {
    let broke = |source| ConnectError::Http {
        peer: peer_of(proxy.uri()),
        source,
    };
    let mut sender = handshake(stream, &peer_of(proxy.uri())).await?;
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    let unnamed = |_| ConnectError::Url {
        url: peer.to_owned(),
        why: "it is no host and port",
    };
    *request.uri_mut() = peer.parse().map_err(unnamed)?;
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(peer) {
        headers.insert(HOST, host);
    }
    if let Some(authorization) = proxy.basic_auth() {
        headers.insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    let answer = sender.send_request(request).await.map_err(broke)?;
    if !answer.status().is_success() {
        return Err(ConnectError::Proxy {
            proxy: peer_of(proxy.uri()),
            peer: peer.to_owned(),
            status: answer.status(),
        });
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(broke)?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://example.org/shim.tar.gz", None)]
    #[case("http://127.0.0.1:8080/x", None)]
    #[case("http://[::1]/x", None)]
    #[case("http://localhost/x", None)]
    #[case("http://example.org/x", Some("plain HTTP"))]
    #[case("https://name:word@example.org/x", Some("password"))]
    #[case("ftp://example.org/x", Some("only https"))]
    #[case("/etc/passwd", Some("no host"))]
    #[case("https://", Some("no URL"))]
    #[case("https://exa mple.org", Some("no URL"))]
    fn only_what_cannot_be_changed_on_the_way_is_fetched(
        #[case] url: &str,
        #[case] refusal: Option<&str>,
    ) {
        let dialer = Dialer::with_proxy(None, None, false).unwrap();
        match (dialer.check(url), refusal) {
            (Ok(_), None) => {}
            (Err(error), Some(why)) => assert!(error.to_string().contains(why), "{error}"),
            (result, _) => panic!("{result:?}"),
        }
    }

    #[test]
    fn authorities_that_are_none_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        assert!(Dialer::with_proxy(None, Some(&path), false).is_err());
        fs::write(&path, "hello").unwrap();
        let error = Dialer::with_proxy(None, Some(&path), false).unwrap_err();
        assert!(
            error.to_string().ends_with("there is no certificate in it"),
            "{error}"
        );
    }
}
