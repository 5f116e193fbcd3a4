//! What is said on the wire.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;

use super::{Server, streams};

/// A client that knows that the server speaks HTTP/2.
pub(super) struct Http2 {
    sender: SendRequest<UnsyncBoxBody<Bytes, Infallible>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        Self { sender, connection }
    }

    pub(super) fn send<B>(
        &mut self,
        request: Request<B>,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + Send + use<B>
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        self.sender.send_request(request.map(BodyExt::boxed_unsync))
    }

    fn get(
        &mut self,
        path: &str,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + Send + use<> {
        let request = Request::get(format!("http://test{path}"));
        self.send(request.body(Empty::new()).unwrap())
    }

    /// Sends a request, which is answered in its own time.
    pub(super) fn begin(&mut self, path: &str) -> JoinHandle<Response<Incoming>> {
        let answer = self.get(path);
        tokio::spawn(async move { answer.await.unwrap() })
    }

    pub(super) async fn status(&mut self, path: &str) -> hyper::Result<u16> {
        let answer = self.get(path).await?;
        Ok(answer.status().as_u16())
    }

    /// Waits for the end of the connection.
    pub(super) async fn ended(self) -> hyper::Result<()> {
        let end = tokio::time::timeout(Duration::from_secs(30), self.connection);
        end.await.unwrap().unwrap()
    }
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn http2_is_spoken_on_the_same_port() {
    let server = Server::start();
    runtime().block_on(async {
        let mut client = Http2::connect(server.address).await;
        assert_eq!(client.status("/").await.unwrap(), 200);
        assert_eq!(client.status("/trap!").await.unwrap(), 500);
        let answers: Vec<_> = (0..50).map(|_| client.begin("/")).collect();
        for answer in answers {
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    });
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
}

/// Nobody is to take a part for the whole.
#[test]
fn an_answer_whose_guest_traps_is_cut() {
    let server = Server::of(&streams(Duration::from_millis(100)), &[]);
    let answer = server.talk("GET /cut HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(answer.ends_with("\r\nfirst\r\n"), "{answer}");
    let whole = server.talk("GET /ok HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(whole.ends_with("first\r\n0\r\n\r\n"), "{whole}");
    runtime().block_on(async {
        let mut client = Http2::connect(server.address).await;
        let answer = client.begin("/cut").await.unwrap();
        let body = answer.into_body().collect().await;
        assert!(body.is_err(), "{body:?}");
        assert_eq!(client.status("/").await.unwrap(), 200);
    });
}

#[test]
fn requests_that_come_at_once_are_answered_in_order() {
    let server = Server::start();
    let one = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let trap = "GET /trap! HTTP/1.1\r\nHost: test\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let answers = server.talk(&format!("{one}{trap}{last}"));
    assert_eq!(
        answers.matches("HTTP/1.1 200 OK\r\n").count(),
        2,
        "{answers}"
    );
    let trapped = answers.find("HTTP/1.1 500").unwrap();
    assert!(answers[..trapped].contains("HTTP/1.1 200"), "{answers}");
    assert!(answers[trapped..].contains("HTTP/1.1 200"), "{answers}");
}

#[test]
fn head_has_no_body_and_connect_no_tunnel() {
    let server = Server::start();
    let answer = server.talk("HEAD / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = server.talk("CONNECT test:80 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 501 Not Implemented\r\n"),
        "{answer}"
    );
}

#[test]
fn an_upgrade_is_answered_as_if_it_had_not_been_asked_for() {
    let server = Server::start();
    let answer = server.talk(
        "GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn an_overlong_head_is_refused() {
    let server = Server::start();
    // Just too long: the server reads all of it before it answers.
    let value = "x".repeat(64 << 10);
    let answer = server.talk(&format!("GET / HTTP/1.1\r\nHost: test\r\nX: {value}"));
    assert!(
        answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        "{answer}"
    );
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
}

#[test]
fn a_request_without_a_host_is_answered() {
    let server = Server::start();
    let answer = server.talk("GET / HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
}
