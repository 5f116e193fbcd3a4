//! The load generator: one thread, so many connections, on each the next request as soon as the answer is there.
//!
//! It takes two system calls a request and a share of `epoll_wait`, so that it is seldom what limits a server.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use crate::response;
use crate::statistics::quantile;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: pod\r\n\r\n";

/// How long an answer may be late at the end.
const LATE: Duration = Duration::from_secs(10);

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After a while.
    Time(Duration),
    /// After so many answers.
    Answers(u64),
}

/// What a server did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Answered {
    /// Answers, all of them 200.
    pub(crate) answers: u64,
    /// In this time.
    pub(crate) seconds: f64,
    /// Half came within so many microseconds.
    pub(crate) p50: f64,
    /// Ninety-nine of a hundred did.
    pub(crate) p99: f64,
}

struct Connection {
    stream: TcpStream,
    got: Vec<u8>,
    asked: Instant,
}

impl Connection {
    fn open(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&to, LATE).with_context(|| to.to_string())?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            got: Vec::with_capacity(4096),
            asked: Instant::now(),
        })
    }

    fn ask(&mut self) -> Result<()> {
        self.asked = Instant::now();
        self.stream.write_all(REQUEST).context("asking")
    }

    /// Reads what is there; how long the answer took, once it is whole.
    fn hear(&mut self, buffer: &mut [u8]) -> Result<Option<Duration>> {
        match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(length) => self.got.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("listening"),
        }
        match response::complete(&self.got) {
            Ok(Some(length)) => {
                let took = self.asked.elapsed();
                ensure!(length == self.got.len(), "more than one answer");
                self.got.clear();
                Ok(Some(took))
            }
            Ok(None) => Ok(None),
            Err(wrong) => bail!("an answer is wrong: {wrong:?}"),
        }
    }
}

/// Asks a server, over so many connections, until it is enough.
///
/// # Errors
/// When a connection breaks, or an answer is not 200.
pub(crate) fn ask(to: SocketAddr, connections: usize, until: Until) -> Result<Answered> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?;
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        let connection = Connection::open(to)?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&epoll, &connection.stream, data, epoll::EventFlags::IN).context("epoll")?;
        open.push(connection);
    }
    let begun = Instant::now();
    let (mut waiting, mut sent) = (0, 0);
    for connection in &mut open {
        connection.ask()?;
        (waiting, sent) = (waiting + 1, sent + 1);
    }
    let mut took: Vec<f64> = Vec::new();
    let mut ready: Vec<epoll::Event> = Vec::with_capacity(connections.max(1));
    let mut buffer = vec![0; 16 << 10];
    while waiting > 0 {
        ready.clear();
        let late = rustix::event::Timespec::try_from(LATE)?;
        epoll::wait(&epoll, spare_capacity(&mut ready), Some(&late)).context("epoll")?;
        ensure!(!ready.is_empty(), "{waiting} answers are missing");
        for event in &ready {
            let number = event.data.u64() as usize;
            let connection = &mut open[number];
            let Some(time) = connection.hear(&mut buffer)? else {
                continue;
            };
            took.push(time.as_secs_f64() * 1e6);
            waiting -= 1;
            let more = match until {
                Until::Time(length) => begun.elapsed() < length,
                Until::Answers(most) => sent < most,
            };
            if more {
                connection.ask()?;
                (waiting, sent) = (waiting + 1, sent + 1);
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    took.sort_by(f64::total_cmp);
    Ok(Answered {
        answers: took.len() as u64,
        seconds,
        p50: quantile(&took, 0.5).context("no answers")?,
        p99: quantile(&took, 0.99).context("no answers")?,
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that answers what it reads, request by request, `status` being its first word.
    fn server(status: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let mut buffer = [0; 256];
                    while stream.read(&mut buffer).is_ok_and(|length| length > 0) {
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
                        if stream.write_all(answer.as_bytes()).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        address
    }

    #[test]
    fn as_many_answers_as_were_wanted() {
        let answered = ask(server("200 OK"), 3, Until::Answers(100)).unwrap();
        assert_eq!(answered.answers, 100);
        assert!(answered.p50 > 0.0 && answered.p50 <= answered.p99);
    }

    #[test]
    fn an_error_is_no_answer() {
        let error = ask(server("500 Oh"), 1, Until::Answers(1)).unwrap_err();
        assert!(format!("{error:#}").contains("500 Oh"), "{error:#}");
    }
}
