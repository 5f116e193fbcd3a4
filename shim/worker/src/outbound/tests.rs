//! Against a TLS server here. `tests/*.pem` were made with `openssl req` and `openssl x509`: an authority whose
//! key is gone, and a server that is called `localhost` and 127.0.0.1, for a hundred years.

use std::net::SocketAddr;

use http_body_util::{Empty, Full};
use hyper::service::service_fn;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const AUTHORITY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/src/outbound/tests/authority.pem"
);

/// Answers every request with its version, over what `protocols` offer.
async fn serve(protocols: &[&[u8]]) -> SocketAddr {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tests/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tests/server-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not believe us goes away.
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = service_fn(|request: Request<Incoming>| async move {
                let body = format!("{:?} {}", request.version(), request.uri().path());
                Ok::<_, Error>(Response::new(Full::new(Bytes::from(body))))
            });
            let io = TokioIo::new(stream);
            tokio::spawn(async move {
                if two {
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(io, service).await;
                } else {
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(io, service).await;
                }
            });
        }
    });
    address
}

fn outbound(network: Network, authorities: Option<&str>) -> Outbound {
    Outbound {
        network,
        authorities: Arc::new(Authorities::new(authorities)),
    }
}

async fn get(outbound: &mut Outbound, url: &str) -> Result<String, Error> {
    let none = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get(url).header(HOST, "localhost").body(none);
    let sending: Sending = Box::new(std::future::ready(Ok(())));
    let answer = outbound.send_request(request.unwrap(), None, sending);
    let (answer, _) = Box::into_pin(answer).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn tls_is_believed_by_the_container_s_authorities() {
    let mut outbound = outbound(Network::Pod, Some(AUTHORITY));
    for (offered, expected) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], "HTTP/2.0 /path"),
        (&[b"http/1.1"], "HTTP/1.1 /path"),
        (&[], "HTTP/1.1 /path"),
    ] {
        let port = serve(offered).await.port();
        for host in ["localhost", "127.0.0.1"] {
            let answer = get(&mut outbound, &format!("https://{host}:{port}/path?x=1")).await;
            assert_eq!(answer.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn a_certificate_of_nobody_known_is_not_believed() {
    let port = serve(&[]).await.port();
    let answer = get(
        &mut outbound(Network::Pod, None),
        &format!("https://localhost:{port}/"),
    )
    .await;
    assert!(
        matches!(answer, Err(Error::TlsCertificateError)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_file_of_authorities_that_is_not_there_is_an_error() {
    let port = serve(&[]).await.port();
    let mut outbound = outbound(Network::Pod, Some("/nonexistent.pem"));
    let answer = get(&mut outbound, &format!("https://localhost:{port}/")).await;
    assert!(
        matches!(answer, Err(Error::ConfigurationError)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn without_a_network_nothing_is_sent() {
    let answer = get(&mut outbound(Network::None, None), "http://127.0.0.1:1/").await;
    assert!(
        matches!(answer, Err(Error::HttpRequestDenied)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_apart() {
    let mut outbound = outbound(Network::Pod, None);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let answer = get(&mut outbound, &format!("http://127.0.0.1:{port}/")).await;
    assert!(
        matches!(answer, Err(Error::ConnectionRefused)),
        "{answer:?}"
    );
    let answer = get(&mut outbound, "http://name.invalid/").await;
    assert!(matches!(answer, Err(Error::DnsError { .. })), "{answer:?}");
}
