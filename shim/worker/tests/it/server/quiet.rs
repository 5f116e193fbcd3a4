//! What a server keeps when nobody asks it any more.

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use super::Server;
use crate::eventually;

impl Server {
    /// Bytes of its own, of no file, that are in memory.
    fn own_memory(&self) -> usize {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let rollup = std::fs::read_to_string(path).unwrap();
        let mut lines = rollup.lines();
        let line = lines.find_map(|line| line.strip_prefix("Anonymous:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<usize>().unwrap() << 10
    }
}

#[test]
fn what_a_burst_has_used_is_given_back() {
    let server = Server::start();
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    let before = server.own_memory();
    let connections: Vec<_> = (0..200)
        .map(|_| {
            let mut connection = BufReader::new(server.connect());
            let request = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
            connection.get_mut().write_all(request).unwrap();
            let mut line = String::new();
            connection.read_line(&mut line).unwrap();
            assert_eq!(line, "HTTP/1.1 200 OK\r\n");
            connection
        })
        .collect();
    let used = server.own_memory() - before;
    assert!(used > 1 << 20, "{used} bytes");
    // Longer than a server waits for it to be quiet: that they end comes as news.
    std::thread::sleep(Duration::from_millis(1500));
    drop(connections);
    eventually("most of it, between probes", || {
        assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
        std::thread::sleep(Duration::from_millis(600));
        (server.own_memory() < before + used / 3).then_some(())
    });
    // And it serves as before.
    assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
}
