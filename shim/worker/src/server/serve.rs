//! Connections: accepting, bounding and draining them.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{Handler, Listen, request};
use crate::ending::say;
use crate::signals;

/// Connections at a time; more wait in the backlog.
const CONNECTIONS: usize = 1024;
/// Bytes of a request's line and headers.
const HEAD: usize = 64 << 10;
/// How long a request's head may take, and a connection be idle: longer than load balancers keep theirs.
const HEAD_TIME: Duration = Duration::from_secs(90);
/// How long to wait when accepting fails for want of descriptors or memory.
const BREATH: Duration = Duration::from_millis(50);

/// Serves until told to stop, then until the last request is answered.
pub(super) async fn serve(listen: &Listen, handler: &Arc<Handler>) -> io::Result<()> {
    let mut stop = Stop::new()?;
    let listener = listen.bind()?;
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let (draining, drain) = watch::channel(false);
    {
        let mut stopped = pin!(stop.told());
        loop {
            let accepted = tokio::select! {
                () = &mut stopped => break,
                accepted = accept(&listener, &connections) => accepted,
            };
            let Some((stream, permit)) = accepted else {
                continue;
            };
            tokio::spawn(connection(
                stream,
                Arc::clone(handler),
                drain.clone(),
                permit,
            ));
        }
    }
    drop(listener);
    // Receivers are gone already if nothing is connected.
    let _ = draining.send(true);
    drop(drain);
    tokio::select! {
        () = all_done(&connections, handler) => {}
        // Told twice: whoever asks does not want to wait.
        () = stop.told() => {}
    }
    Ok(())
}

/// Every connection closed, and every guest ended: some go on after they have answered.
async fn all_done(connections: &Semaphore, handler: &Handler) {
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    // Neither semaphore is ever closed.
    let _ = connections.acquire_many(all).await;
    let _ = handler
        .slots
        .acquire_many(slipway_shim_engine::config::SLOTS)
        .await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            // A connection that was reset before it was accepted is nothing to wait for.
            if error.kind() != io::ErrorKind::ConnectionAborted {
                say(&format!("accepting a connection: {error}"));
                tokio::time::sleep(BREATH).await;
            }
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    handler: Arc<Handler>,
    mut drain: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    let local = stream.local_addr().ok();
    // Answers are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(request::answer(&handler, request, local).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    // What a client does wrong, or that it went away, is not the container's log's business.
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = drain.wait_for(|draining| *draining) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}

/// The signals that ask a server to stop: Kubernetes' own, a terminal's, and nginx's habit.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        signals::let_go(&[libc::SIGTERM, libc::SIGINT, libc::SIGQUIT])?;
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}
