//! Connections: accepting, bounding and draining them.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::connection::{self, Surroundings};
use super::handler::Handler;
use super::listen::Listen;
use super::motion::Motion;
use crate::ending::say;
use crate::signals;

/// Connections at a time; more wait in the backlog.
const CONNECTIONS: usize = 1024;
/// The memory that a connection is taken to need at most, if its client does its worst: two heads, and what it
/// was sent ahead.
const CONNECTION: usize = 128 << 10;
/// And the fewest at a time, however little memory there is.
const FEWEST: usize = 64;
/// How long to wait when accepting fails for want of descriptors or memory.
const BREATH: Duration = Duration::from_millis(50);

/// Serves until told to stop, then until the last request is answered.
pub(super) async fn serve(listen: &Listen, handler: &Arc<Handler>) -> io::Result<()> {
    let mut stop = Stop::new()?;
    let listener = listen.bind()?;
    let memory = handler.budget.limit();
    let most = memory.map_or(CONNECTIONS, |bytes| bytes / CONNECTION);
    let connections = Arc::new(Semaphore::new(most.clamp(FEWEST, CONNECTIONS)));
    let (draining, drain) = watch::channel(false);
    let (alive, mut done) = mpsc::channel(1);
    let begin = |stream: TcpStream, permit| {
        let surroundings = Surroundings {
            handler: Arc::clone(handler),
            drain: drain.clone(),
            alive: alive.clone(),
            local: stream.local_addr().ok(),
            motion: Arc::new(Motion::new()),
        };
        tokio::spawn(connection::serve(stream, surroundings, permit));
    };
    {
        let mut stopped = pin!(stop.told());
        let mut housekeeping = pin!(handler.housekeeping());
        loop {
            let accepted = tokio::select! {
                () = &mut stopped => break,
                () = &mut housekeeping => continue,
                accepted = accept(&listener, &connections) => accepted,
            };
            if let Some((stream, permit)) = accepted {
                begin(stream, permit);
            }
        }
    }
    // Those whom the kernel has let in already were told that they are welcome.
    while let Some((stream, permit)) = waiting(&listener, &connections).await {
        begin(stream, permit);
    }
    drop(listener);
    // Receivers are gone already if nothing is connected.
    let _ = draining.send(true);
    drop(alive);
    tokio::select! {
        // Every connection closed, and every guest ended: some go on after they have answered.
        _ = done.recv() => {}
        // Told twice: whoever asks does not want to wait.
        () = stop.told() => {}
    }
    Ok(())
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

/// A connection that waits to be accepted, if there is one, and room for it.
async fn waiting(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).try_acquire_owned().ok()?;
    let accepted = std::future::poll_fn(|context| match listener.poll_accept(context) {
        Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
        Poll::Pending => Poll::Ready(None),
    });
    Some((accepted.await?.0, permit))
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
