//! The streams of a container itself.

use std::io::{Read, Write};

use anyhow::{Result, ensure};

use super::passed;
use crate::node::Node;
use crate::report::Outcome;
use crate::stream::{DATA, STDOUT};

pub(super) fn attaching_shows_what_is_written(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("ticker.wasm", &[])?;
    container.says("tick 1")?;
    let mut stream = container.attach(false, false)?;
    let next = container.lines()?.len() + 2;
    stream.expect(STDOUT, &format!("tick {next}\n"))?;
    stream.close();
    // Who leaves takes nothing with him.
    container.says(&format!("tick {}", next + 1))?;
    pod.remove()?;
    passed()
}

pub(super) fn input_reaches_the_guest_and_ends(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run_with("job.wasm", &["--stdin"], |config| {
        config.stdin = true;
        config.stdin_once = true;
    })?;
    let mut stream = container.attach(true, false)?;
    stream.write(b"good ")?;
    stream.write(b"day")?;
    stream.close();
    container.ends_with(0)?;
    container.says("stdin 8 bytes")?;
    pod.remove()?;
    passed()
}

pub(super) fn a_container_may_have_a_terminal(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run_with("job.wasm", &["--lines", "2", "--stdin"], |config| {
        config.tty = true;
        config.stdin = true;
    })?;
    let mut stream = container.attach(true, true)?;
    stream.resize(100, 30)?;
    // A line, and Ctrl-D at the start of the next.
    stream.write(b"good day\r\x04")?;
    container.ends_with(0)?;
    container.says("stdin 9 bytes")?;
    // Both streams are the terminal's, in the order in which they were written.
    let out = container.output("stdout")?;
    let written = out.iter().map(|line| line.trim_end_matches('\r'));
    let written: Vec<_> = written
        .filter(|l| l.starts_with("out ") || l.starts_with("err "))
        .collect();
    ensure!(
        written == ["out 1", "err 1", "out 2", "err 2"],
        "the log has {out:?}"
    );
    ensure!(
        container.output("stderr")?.is_empty(),
        "a terminal has no standard error"
    );
    stream.close();
    pod.remove()?;
    passed()
}

pub(super) fn a_port_is_forwarded(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("http.wasm", &[])?;
    // containerd forwards from within the pod's network; what it reaches is what a probe reaches.
    let ip = pod.status()?.status.and_then(|status| status.network);
    let address = format!("{}:8080", ip.unwrap_or_default().ip);
    let mut connection = crate::wait::until("the port to open", crate::wait::SOON, || {
        Ok(std::net::TcpStream::connect(&address).ok())
    })?;
    connection.set_read_timeout(Some(crate::wait::SOON))?;
    connection.write_all(b"GET / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 "), "a probe gets {answer:?}");
    let mut stream = pod.forward(8080)?;
    stream.write(b"GET / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")?;
    stream.expect(DATA, "HTTP/1.1 ")?;
    stream.close();
    container.stop(10)?;
    container.ends_with(0)?;
    pod.remove()?;
    passed()
}
