//! Connections: accepting, bounding and draining them.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::unconstrained;

use super::connection::{self, Surroundings};
use super::crowd::Crowd;
use super::handler::Handler;
use super::listen::Listen;
use super::motion::Motion;
use crate::ending::say;
use crate::{heap, signals};

/// How long to wait when accepting fails for want of descriptors or memory.
const BREATH: Duration = Duration::from_millis(50);

/// Serves until told to stop, then until the last request is answered.
pub(super) async fn serve(listen: &Listen, handler: &Arc<Handler>) -> io::Result<()> {
    let mut stop = Stop::new()?;
    let listener = listen.bind()?;
    let crowd = Crowd::new(handler.budget.limit());
    let (draining, drain) = watch::channel(false);
    let (alive, mut done) = mpsc::channel(1);
    let begin = |stream: TcpStream, place| {
        let motion = Arc::new(Motion::new());
        crowd.join(&motion);
        let surroundings = Surroundings {
            handler: Arc::clone(handler),
            drain: drain.clone(),
            alive: alive.clone(),
            local: stream.local_addr().ok(),
            motion,
        };
        tokio::spawn(connection::serve(stream, surroundings, place));
    };
    // One that was accepted and waits for a place.
    let mut next = None;
    {
        let mut stopped = pin!(stop.told());
        let mut looking_after = pin!(handler.look_after(|| {
            crowd.forget();
            heap::give_back();
        }));
        loop {
            let place = tokio::select! {
                () = &mut stopped => break,
                never = &mut looking_after => never,
                place = accept(&listener, &crowd, &mut next) => place,
            };
            if let Some(place) = place
                && let Some(stream) = next.take()
            {
                begin(stream, place);
            }
        }
    }
    // Those whom the kernel has let in already were told that they are welcome. Until there is a place for them they are
    // but descriptors.
    let mut welcome: Vec<_> = next.into_iter().collect();
    while let Some(stream) = waiting(&listener).await {
        welcome.push(stream);
    }
    drop(listener);
    // Receivers are gone already if nothing is connected.
    let _ = draining.send(true);
    for stream in welcome {
        tokio::select! {
            place = crowd.place() => begin(stream, place),
            () = stop.told() => return Ok(()),
        }
    }
    drop(alive);
    let all = async {
        // Every connection closed, and every guest ended: some go on after they have answered.
        let _ = done.recv().await;
        // And all that they have said is in the log.
        handler.common.written().await;
    };
    tokio::select! {
        () = all => {}
        // Told twice: whoever asks does not want to wait.
        () = stop.told() => {}
    }
    Ok(())
}

/// Accepts `next`, if that has not happened yet, and waits for a place for it. May be dropped in between.
async fn accept(
    listener: &TcpListener,
    crowd: &Crowd,
    next: &mut Option<TcpStream>,
) -> Option<OwnedSemaphorePermit> {
    if next.is_none() {
        match listener.accept().await {
            Ok((stream, _)) => *next = Some(stream),
            Err(error) => {
                if !is_reset(&error) {
                    say(&format!("accepting a connection: {error}"));
                    tokio::time::sleep(BREATH).await;
                }
                return None;
            }
        }
    }
    Some(crowd.place().await)
}

/// A connection that waits to be accepted, if there is one.
async fn waiting(listener: &TcpListener) -> Option<TcpStream> {
    let accepted = std::future::poll_fn(|context| {
        loop {
            return match listener.poll_accept(context) {
                Poll::Ready(Ok((stream, _))) => Poll::Ready(Some(stream)),
                Poll::Ready(Err(error)) if is_reset(&error) => continue,
                Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
            };
        }
    });
    // Else the runtime says that nobody waits as soon as it thinks that others should have a turn.
    unconstrained(accepted).await
}

/// Whether a connection was reset before it was accepted, which is nothing to wait for.
fn is_reset(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionAborted
}

/// The signals that ask a server to stop: Kubernetes' own, a terminal's, and nginx's habit.
struct Stop {
    /// One came before the handlers were there; this one is told first.
    early: bool,
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        signals::let_go(&[libc::SIGTERM, libc::SIGINT, libc::SIGQUIT])?;
        let mut stop = Self {
            early: false,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        };
        // One that comes just now may be told twice, which does no harm: nobody is connected yet.
        stop.early = signals::were_told();
        Ok(stop)
    }

    async fn told(&mut self) {
        if std::mem::take(&mut self.early) {
            return;
        }
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}
