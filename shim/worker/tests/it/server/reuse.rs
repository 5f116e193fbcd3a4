//! Instances that serve more than one request.

use std::time::Duration;

use super::{SERVER, SERVER_0_3, Server};
use crate::eventually;

const OK: &str = "HTTP/1.1 200 OK";
const TRAPPED: &str = "HTTP/1.1 500 Internal Server Error";

#[test]
fn an_instance_serves_as_many_requests_as_were_chosen() {
    for guest in [SERVER, SERVER_0_3] {
        // One at a time: the next request begins when the instance of the one before it is free.
        let server = Server::of(guest, &["http-reuse=2", "http-concurrency=1"]);
        for _ in 0..2 {
            eventually("an instance again", || {
                assert_eq!(server.status("/"), OK);
                // Not if this takes so long that the instance has been let go of.
                (server.status("/second") == OK).then_some(())
            });
            // A new one, and its end.
            assert_eq!(server.status("/second"), TRAPPED);
        }
        server.signal();
        assert_eq!(server.end().0, Some(0));
    }
}

#[test]
fn an_instance_that_nobody_needs_is_let_go_of() {
    for guest in [SERVER, SERVER_0_3] {
        let server = Server::of(guest, &["http-reuse=100"]);
        eventually("a new instance", || {
            assert_eq!(server.status("/"), OK);
            // Asking keeps it.
            std::thread::sleep(Duration::from_millis(2500));
            (server.status("/second") == TRAPPED).then_some(())
        });
    }
}

#[test]
fn an_instance_serves_one_request_by_default() {
    for guest in [SERVER, SERVER_0_3] {
        let server = Server::of(guest, &[]);
        assert_eq!(server.status("/"), OK);
        assert_eq!(server.status("/second"), TRAPPED);
    }
}
