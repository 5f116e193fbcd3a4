//! Servers of WASI 0.3.

use std::io::{BufRead, BufReader, Read, Write};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};

use super::protocol::{Http2, runtime};
use super::{SERVER_0_3, Server};

#[test]
fn it_answers_over_both_protocols_and_a_trap_is_a_500() {
    let server = Server::of(SERVER_0_3, &[]);
    let trapped = "HTTP/1.1 500 Internal Server Error";
    for _ in 0..3 {
        assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
        assert_eq!(server.status("/trap!"), trapped);
    }
    runtime().block_on(async {
        let mut client = Http2::connect(server.address).await;
        let answers: Vec<_> = (0..50).map(|_| client.begin("/")).collect();
        for answer in answers {
            assert_eq!(answer.await.unwrap().status(), 200);
        }
        assert_eq!(client.status("/trap!").await.unwrap(), 500);
    });
    server.ends_having_told_of_a_trap();
}

#[test]
fn one_that_computes_for_ever_stops_nobody_and_is_ended() {
    let server = Server::of(SERVER_0_3, &["http-request-timeout=2s"]);
    let spinning = server.ask("/spin");
    for _ in 0..3 {
        assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    }
    server.stop();
    let (status, log) = server.end();
    assert_eq!(status, Some(0));
    assert!(
        log.contains("slipway: GET /spin: no answer within 2s"),
        "{log}"
    );
    drop(spinning);
}

/// Reads lines until there is this one.
fn until(reader: &mut impl BufRead, line: &str) {
    let mut seen = String::new();
    while !seen.ends_with(line) {
        assert!(reader.read_line(&mut seen).unwrap() > 0, "{seen}");
    }
}

#[test]
fn bodies_are_passed_on_while_they_come() {
    let server = Server::of(SERVER_0_3, &[]);
    let stream = server.connect();
    let say = |text: &str| (&stream).write_all(text.as_bytes()).unwrap();
    let mut reader = BufReader::new(&stream);
    let head = "POST /pass-on HTTP/1.1\r\nHost: test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    say(head);
    say("5\r\nfirst\r\n");
    until(&mut reader, "first\r\n");
    say("6\r\nsecond\r\n");
    until(&mut reader, "second\r\n");
    say("0\r\n\r\n");
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "0\r\n\r\n");
}

#[test]
fn trailers_are_passed_on() {
    let server = Server::of(SERVER_0_3, &[]);
    runtime().block_on(async {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "4".parse().unwrap());
        let said = trailers.clone();
        let body = Full::new(Bytes::from_static(b"body"));
        let body = body.with_trailers(async move { Some(Ok(said)) });
        let mut client = Http2::connect(server.address).await;
        let request = Request::post("http://test/pass-on").body(body).unwrap();
        let answer = client.send(request).await.unwrap();
        let answer = answer.into_body().collect().await.unwrap();
        assert_eq!(answer.trailers(), Some(&trailers));
        assert_eq!(answer.to_bytes(), "body");
    });
}
