//! The output as guests have it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::{Log, PART};

impl IsTerminal for Log {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Log {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Stream {
            log: self.clone(),
            granted: false,
        })
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Writer {
            log: self.clone(),
            room: None,
        })
    }
}

/// As WASI 0.2 has it: first it is asked for room.
struct Stream {
    log: Log,
    /// There was room. Others may have taken it since, but what was granted stays.
    granted: bool,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {
        if !self.granted {
            self.log.room().await;
            self.granted = true;
        }
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if !std::mem::take(&mut self.granted) || bytes.len() > PART {
            return Err(StreamError::trap(
                "a write beyond what `check-write` allows",
            ));
        }
        self.log
            .put(self.log.0.state(), &bytes)
            .map_err(|error| StreamError::LastOperationFailed(error.into()))
    }

    /// What is kept is as good as written.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.granted = self.granted || self.log.0.state().has_room();
        Ok(if self.granted { PART } else { 0 })
    }
}

/// As WASI 0.3 has it.
struct Writer {
    log: Log,
    /// Waits for room, when there was none.
    room: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.room.is_none() && !self.log.0.state().has_room() {
            let log = self.log.clone();
            self.room = Some(Box::pin(async move { log.room().await }));
        }
        if let Some(room) = &mut self.room {
            ready!(room.as_mut().poll(context));
            self.room = None;
        }
        let part = &bytes[..bytes.len().min(PART)];
        let done = self.log.put(self.log.0.state(), part);
        Poll::Ready(done.map(|()| part.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
