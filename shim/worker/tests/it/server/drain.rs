//! Being told to stop.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use http_body_util::BodyExt;

use super::protocol::{Http2, runtime};
use super::{Server, streams};

#[test]
fn a_request_that_has_begun_is_answered_before_the_end() {
    let server = Server::start();
    let mut late = server.connect();
    late.write_all(b"GET /the-last HTTP/1.1\r\nHost: test\r\n")
        .unwrap();
    // Accepted in order: once this one is answered, the one before it is being read.
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    server.stop();
    late.write_all(b"\r\n").unwrap();
    let mut answer = String::new();
    late.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn the_whole_backlog_is_answered() {
    // So little memory that there are 64 connections.
    let memory = ["--memory", "8388608"];
    let timeout = ["--option", "http-request-timeout=2s"];
    let server = Server::run(super::SERVER, &[memory, timeout].concat());
    let _served: Vec<_> = (0..64).map(|_| server.ask("/spin")).collect();
    let backlog: Vec<_> = (0..200).map(|_| server.ask("/")).collect();
    server.stop();
    for client in backlog {
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        // Those that wait for a turn too long are told to come again.
        assert!(line.starts_with("HTTP/1.1 "), "{line}");
    }
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_second_signal_does_not_wait() {
    let server = Server::start();
    let _spinning = server.ask("/spin");
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    server.stop();
    server.signal();
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_head_that_stays_half_does_not_hold_up_the_end() {
    let server = Server::start();
    let mut stalled = server.connect();
    stalled.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
    let silent = server.connect();
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    server.stop();
    assert_eq!(server.end(), (Some(0), String::new()));
    drop((stalled, silent));
}

#[test]
fn an_answer_that_has_begun_is_finished_though_the_guest_takes_its_time() {
    // Longer than a client that does not take its answer is waited for.
    let server = Server::of(&streams(Duration::from_secs(7)), &[]);
    let mut first = BufReader::new(server.ask("/late"));
    let mut answer = String::new();
    while !answer.ends_with("\r\nfirst\r\n") {
        assert!(first.read_line(&mut answer).unwrap() > 0, "{answer}");
    }
    runtime().block_on(async {
        let mut client = Http2::connect(server.address).await;
        let second = client.begin("/late").await.unwrap();
        server.stop();
        let body = second.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "firstlast");
    });
    first.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("4\r\nlast\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn an_answer_that_nobody_takes_does_not_hold_up_the_end() {
    let server = Server::of(&streams(Duration::ZERO), &[]);
    let mut stalled = BufReader::new(server.ask("/stream"));
    let mut line = String::new();
    stalled.read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK\r\n");
    server.stop();
    assert_eq!(server.end(), (Some(0), String::new()));
}

#[test]
fn a_request_on_a_kept_connection_is_answered_and_told_that_it_is_the_last() {
    let server = Server::start();
    let mut stream = server.connect();
    let request = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut ask = || {
        stream.write_all(request).unwrap();
        let mut head = String::new();
        let mut reader = BufReader::new(&stream);
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        head.to_lowercase()
    };
    assert!(!ask().contains("connection: close"));
    server.stop();
    let last = ask();
    assert!(last.starts_with("http/1.1 200 ok"), "{last}");
    assert!(last.contains("connection: close"), "{last}");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn an_http2_connection_is_ended_in_good_order() {
    let server = Server::start();
    runtime().block_on(async {
        let mut client = Http2::connect(server.address).await;
        assert_eq!(client.status("/").await.unwrap(), 200);
        server.stop();
        client.ended().await.unwrap();
    });
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn requests_in_flight_over_http2_are_answered() {
    let server = Server::with(&["http-request-timeout=2s"]);
    runtime().block_on(async {
        let mut client = Http2::connect(server.address).await;
        let spinning = client.begin("/spin");
        assert_eq!(client.status("/").await.unwrap(), 200);
        server.stop();
        assert_eq!(spinning.await.unwrap().status(), 504);
        client.ended().await.unwrap();
    });
    assert_eq!(server.end().0, Some(0));
}
