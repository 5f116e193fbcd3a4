//! A connection's bytes: which protocol they begin with, and that they move.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::motion::Motion;

/// What a client that speaks HTTP/2 says first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a connection is to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1 or older.
    Http1,
    /// HTTP/2 without TLS, known beforehand.
    Http2,
}

/// What the first bytes say; `None` when more are needed.
fn protocol(seen: &[u8]) -> Option<Protocol> {
    match PREFACE.strip_prefix(seen) {
        Some([]) => Some(Protocol::Http2),
        Some(_) => None,
        None => Some(Protocol::Http1),
    }
}

/// A connection whose first bytes have been looked at.
pub(super) struct Stream {
    inner: TokioIo<TcpStream>,
    motion: Arc<Motion>,
    seen: [u8; PREFACE.len()],
    from: usize,
    to: usize,
}

impl Stream {
    pub(super) fn new(stream: TcpStream, motion: &Arc<Motion>) -> Self {
        Self {
            inner: TokioIo::new(stream),
            motion: Arc::clone(motion),
            seen: [0; PREFACE.len()],
            from: 0,
            to: 0,
        }
    }

    /// Reads until it is clear what the client speaks. A client that says nothing more speaks the old one.
    pub(super) async fn protocol(&mut self) -> io::Result<Protocol> {
        loop {
            self.inner.inner().readable().await?;
            match self.inner.inner().try_read(&mut self.seen[self.to..]) {
                Ok(0) => return Ok(Protocol::Http1),
                Ok(count) => {
                    self.to += count;
                    self.motion.moved();
                    if let Some(protocol) = protocol(&self.seen[..self.to]) {
                        return Ok(protocol);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.from < self.to {
            let count = buffer.remaining().min(self.to - self.from);
            buffer.put_slice(&self.seen[self.from..self.from + count]);
            self.from += count;
            // With what else has come: after a read of a few bytes hyper doubles its buffer, to have room for a head.
            if buffer.remaining() > 0
                && let Poll::Ready(more) = Pin::new(&mut self.inner).poll_read(context, buffer)
            {
                self.motion.moved();
                return Poll::Ready(more);
            }
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.motion.moved();
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        self.motion.moved();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, slices))?;
        self.motion.moved();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        assert_eq!(protocol(b""), None);
        assert_eq!(protocol(b"P"), None);
        assert_eq!(protocol(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"), None);
        assert_eq!(protocol(PREFACE), Some(Protocol::Http2));
        for other in ["G", "PO", "PRX", "PRI * HTTP/1.1\r\n\r\n"] {
            assert_eq!(protocol(other.as_bytes()), Some(Protocol::Http1), "{other}");
        }
    }

    #[tokio::test]
    async fn what_was_looked_at_is_read_with_the_rest() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let request = b"GET /a/path/that/is/long HTTP/1.1\r\n\r\n";
        io::Write::write_all(&mut client, request).unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let mut stream = Stream::new(server, &Arc::new(Motion::new()));
        assert_eq!(stream.protocol().await.unwrap(), Protocol::Http1);
        assert_eq!(stream.to, PREFACE.len());
        let mut bytes = [0; 100];
        let mut buffer = hyper::rt::ReadBuf::new(&mut bytes);
        std::future::poll_fn(|context| Pin::new(&mut stream).poll_read(context, buffer.unfilled()))
            .await
            .unwrap();
        assert_eq!(buffer.filled(), request);
    }
}
