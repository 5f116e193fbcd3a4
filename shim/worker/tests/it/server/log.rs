//! A log that nobody reads for a while.

use std::io::Read;
use std::thread;
use std::time::Duration;

use super::{SERVER, Server, streams};

/// Reads all of it at last.
fn reader(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut read = String::new();
        pipe.read_to_string(&mut read).unwrap();
        read
    })
}

#[test]
fn a_log_that_nobody_reads_holds_up_who_writes_and_nobody_else() {
    // One thread, as most pods have.
    let mut server = Server::run(&streams(Duration::ZERO), &["--cpus", "1000"]);
    let path = |number: usize| format!("/log/{number:03}");
    // A page each: half of them are in the pipe then.
    for number in 0..30 {
        assert_eq!(server.status(&path(number)), "HTTP/1.1 200 OK");
    }
    let waiting: Vec<_> = (30..40).map(|number| server.ask(&path(number))).collect();
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    server.stop();
    let reader = reader(server.child.stdout.take().unwrap());
    for mut client in waiting {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    assert_eq!(server.end(), (Some(0), String::new()));
    let log = reader.join().unwrap();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 40);
    assert!(lines.iter().all(|line| line.len() == 4095));
    for (number, line) in lines[..30].iter().enumerate() {
        assert!(line.starts_with(&path(number)), "{number}: {line}");
    }
}

#[test]
fn what_the_server_itself_says_waits_for_no_reader() {
    let mut server = Server::run(SERVER, &["--cpus", "1000"]);
    // More than a pipe takes.
    for _ in 0..400 {
        let trapped = "HTTP/1.1 500 Internal Server Error";
        assert_eq!(server.status("/trap!"), trapped);
    }
    server.stop();
    let reader = reader(server.child.stderr.take().unwrap());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    let log = reader.join().unwrap();
    assert!(log.len() > 64 << 10, "{}", log.len());
    assert_eq!(log.matches("slipway: GET /trap!: ").count(), 400);
}
