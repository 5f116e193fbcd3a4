//! Time-outs, and how much is done at once.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::{Server, streams};
use crate::{eventually, lossy};

#[test]
fn more_requests_than_slots_are_answered() {
    let server = Server::start();
    let clients: Vec<_> = (0..200).map(|_| server.ask("/")).collect();
    for client in clients {
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        assert_eq!(line, "HTTP/1.1 200 OK\r\n");
    }
}

#[test]
fn guests_that_never_answer_are_ended_and_give_their_slots_back() {
    let server = Server::with(&["http-request-timeout=300ms"]);
    let spinning: Vec<_> = (0..40).map(|_| server.ask("/spin")).collect();
    for stream in spinning {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        // Those that had no turn for so long are told to come again.
        let expected = [
            "HTTP/1.1 504 Gateway Timeout\r\n",
            "HTTP/1.1 503 Service Unavailable\r\n",
        ];
        assert!(expected.contains(&line.as_str()), "{line}");
    }
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    server.signal();
    let (status, log) = server.end();
    assert_eq!(status, Some(0));
    assert!(
        log.contains(
            "slipway: GET /spin: no answer within 300ms, so the guest was ended (http-request-timeout)\n"
        ),
        "{log}"
    );
}

#[test]
fn more_than_can_wait_are_told_to_come_again() {
    let server = Server::with(&["http-concurrency=1", "http-request-timeout=0"]);
    let (answers, answered) = channel();
    for _ in 0..200 {
        let mut stream = server.ask("/spin");
        let answers = answers.clone();
        thread::spawn(move || {
            let mut answer = String::new();
            // Those that have a place are cut off in the end.
            if stream.read_to_string(&mut answer).is_ok() {
                let _ = answers.send(answer);
            }
        });
    }
    // All but one that is worked on, and a queue of 128.
    for _ in 0..200 - 129 {
        let answer = answered.recv().unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
            "{answer}"
        );
        assert!(
            answer.to_lowercase().contains("\r\nretry-after: 1\r\n"),
            "{answer}"
        );
    }
    assert!(answered.try_recv().is_err());
}

#[test]
fn an_answer_to_head_that_does_not_end_gives_its_turn_back() {
    let options = ["http-concurrency=1", "http-request-timeout=2s"];
    let server = Server::of(&streams(Duration::ZERO), &options);
    let head = "HEAD /stream HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut asked = server.connect();
    asked.write_all(head.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(&asked).read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK\r\n");
    eventually("a turn", || {
        (server.status("/") == "HTTP/1.1 200 OK").then_some(())
    });
    // Once more, while its connection is open still.
    asked.write_all(head.as_bytes()).unwrap();
    server.stop();
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn waiting_for_a_turn_is_part_of_the_time_until_the_answer() {
    let options = ["http-concurrency=1", "http-request-timeout=4s"];
    let server = Server::of(&streams(Duration::from_secs(3)), &options);
    let mut first = BufReader::new(server.ask("/late"));
    let mut line = String::new();
    first.read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK\r\n");
    // Has its turn after three seconds, and one left.
    let asked = Instant::now();
    assert_eq!(server.status("/never"), "HTTP/1.1 504 Gateway Timeout");
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[test]
fn a_silent_client_is_not_waited_for() {
    let server = Server::with(&["http-idle-timeout=300ms"]);
    for said in [
        "",
        "P",
        "GET / HTTP/1.1\r\nHost:",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = server.connect();
        stream.write_all(said.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // Closed, whatever is said on the way.
        stream.read_to_end(&mut answer).unwrap();
        assert!(!lossy(&answer).contains("200"), "{said:?}");
    }
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
}

#[test]
fn a_full_server_lets_go_of_a_connection_that_is_idle() {
    // So little memory that there are 64 connections.
    let server = Server::run(super::SERVER, &["--memory", "8388608"]);
    let ask = |stream: &mut std::net::TcpStream| {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            .unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        head
    };
    let mut kept: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = server.connect();
            assert!(ask(&mut stream).starts_with("HTTP/1.1 200 OK\r\n"));
            stream
        })
        .collect();
    // As a probe does, whose time is short; connections are kept for 90 s.
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    // Which of them, `crowd` tests: here two threads of the server may take the time of two in another order.
    let closed = |stream: &mut std::net::TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let read = stream.read(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        matches!(read, Ok(0))
    };
    let first = eventually("one of them to go", || kept.iter_mut().position(closed));
    assert!(first < 63);
    assert!(ask(&mut kept[63]).starts_with("HTTP/1.1 200 OK\r\n"));
}
