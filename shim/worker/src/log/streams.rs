//! The output as guests have it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

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
        Box::new(self.clone())
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
            poll_fn(|context| self.log.poll_room(context).map(drop)).await;
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
impl AsyncWrite for Log {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(state) = self.poll_room(context) else {
            return Poll::Pending;
        };
        let part = &bytes[..bytes.len().min(PART)];
        Poll::Ready(self.put(state, part).map(|()| part.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
