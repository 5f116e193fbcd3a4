//! How far the answer to a request is, and when to give it up.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

use super::motion::Serving;

const WORKING: u8 = 0;
const ANSWERING: u8 = 1;
const DONE: u8 = 2;

/// How long the parts of a request may take; `None` is for ever.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until the answer begins; and after its end, until the guest is done too.
    pub(super) request: Option<Duration>,
    /// Between two parts of the answer's body, or of the request's while it is answered.
    pub(super) idle: Option<Duration>,
}

/// What a request got stuck in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stuck {
    /// There is no answer yet.
    Unanswered,
    /// The answer does not go on.
    Answering,
    /// The answer is complete, or nobody wants it any more, and the guest goes on.
    AfterAnswer,
}

/// How far the answer to a request is.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    phase: AtomicU8,
    /// When the phase began or the answer moved, in milliseconds since `begun`.
    since: AtomicU64,
    /// The guest has failed: what ends the answer's body now is no end of the guest's.
    failed: AtomicBool,
}

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            phase: AtomicU8::new(WORKING),
            since: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        })
    }

    /// The guest has failed, and with it goes what it answers with. The body of one that is gone ends as if it had been
    /// finished (wasmtime-wasi-http 48, `p2/body.rs`).
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    fn enter(&self, phase: u8) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(now, Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }

    /// A part of the request has come. An answer that goes on with it, as a gRPC stream may, is not stuck; when it has to
    /// begin, and how long the guest may go on after it, does not depend on it.
    fn arrived(&self) {
        if self.phase.load(Ordering::Relaxed) == ANSWERING {
            self.enter(ANSWERING);
        }
    }

    /// What it is stuck in since longer than it may, and else for how long it need not be looked at. `quiet`
    /// is for how long the connection has not moved, where that tells about this request.
    pub(super) fn look(
        &self,
        patience: Patience,
        quiet: Option<Duration>,
    ) -> Result<Option<Duration>, Stuck> {
        let since = Duration::from_millis(self.since.load(Ordering::Relaxed));
        let mut passed = self.begun.elapsed().saturating_sub(since);
        let (limit, stuck) = match self.phase.load(Ordering::Relaxed) {
            WORKING => (patience.request, Stuck::Unanswered),
            ANSWERING => {
                // A slow client takes long over what it was given at once.
                passed = quiet.map_or(passed, |quiet| quiet.min(passed));
                (patience.idle, Stuck::Answering)
            }
            _ => (patience.request, Stuck::AfterAnswer),
        };
        // The next phase may have the shorter limit.
        let shorter = [patience.request, patience.idle]
            .into_iter()
            .flatten()
            .min();
        match limit.map(|limit| limit.checked_sub(passed)) {
            Some(None | Some(Duration::ZERO)) => Err(stuck),
            Some(left) => Ok(left.into_iter().chain(shorter).min()),
            None => Ok(shorter),
        }
    }
}

/// The body of a request, which tells when it moves: on a connection of HTTP/2 nobody else can tell whose bytes come.
pub(super) struct Arriving<B> {
    body: B,
    progress: Arc<Progress>,
}

impl<B> Arriving<B> {
    pub(super) fn new(body: B, progress: &Arc<Progress>) -> Self {
        let progress = Arc::clone(progress);
        Self { body, progress }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Arriving<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if matches!(frame, Some(Ok(_))) {
            self.progress.arrived();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, which tells how far it is.
pub(super) struct Answering {
    body: WasiBody,
    progress: Option<Arc<Progress>>,
    serving: Option<Serving>,
}

impl Answering {
    /// The same, which keeps its connection from being taken for idle, and from being given up while the guest owes a part.
    pub(super) fn held(mut self, serving: Serving) -> Self {
        self.serving = Some(serving);
        self
    }

    /// The body of the guest's answer.
    pub(super) fn of_guest(body: WasiBody, progress: Arc<Progress>) -> Self {
        progress.enter(ANSWERING);
        Self {
            body,
            progress: Some(progress),
            serving: None,
        }
    }

    /// A body of our own.
    pub(super) fn ours(body: WasiBody) -> Self {
        Self {
            body,
            progress: None,
            serving: None,
        }
    }

    fn tell(&self, phase: u8) {
        if let Some(progress) = &self.progress {
            progress.enter(phase);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.tell(DONE);
    }
}

impl Body for Answering {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        // Only asked for what the client can take.
        if let Some(serving) = &mut self.serving {
            serving.owes(frame.is_pending());
        }
        let frame = ready!(frame);
        if frame.is_some() {
            self.tell(ANSWERING);
        } else if let Some(progress) = &self.progress
            && progress.failed.load(Ordering::Relaxed)
        {
            // So that nobody takes a part for the whole.
            return Poll::Ready(Some(Err(Error::HttpProtocolError)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    const PATIENCE: Patience = Patience {
        request: Some(Duration::from_secs(10)),
        idle: Some(Duration::from_secs(30)),
    };

    fn progress(phase: u8, ago: u64) -> Progress {
        Progress {
            begun: Instant::now() - Duration::from_secs(ago),
            phase: AtomicU8::new(phase),
            since: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        }
    }

    #[test]
    fn each_phase_has_its_limit() {
        let look = |phase, ago| progress(phase, ago).look(PATIENCE, None).err();
        assert_eq!(look(WORKING, 9), None);
        assert_eq!(look(WORKING, 10), Some(Stuck::Unanswered));
        assert_eq!(look(ANSWERING, 29), None);
        assert_eq!(look(ANSWERING, 30), Some(Stuck::Answering));
        assert_eq!(look(DONE, 10), Some(Stuck::AfterAnswer));
    }

    #[test]
    fn a_connection_that_moves_is_an_answer_that_moves() {
        let moving = Some(Duration::from_secs(1));
        assert!(progress(ANSWERING, 30).look(PATIENCE, moving).is_ok());
        assert!(progress(WORKING, 30).look(PATIENCE, moving).is_err());
    }

    #[tokio::test]
    async fn a_request_that_moves_keeps_its_answer_going_and_buys_no_time_before_or_after_it() {
        for (phase, stuck) in [
            (WORKING, Some(Stuck::Unanswered)),
            (ANSWERING, None),
            (DONE, Some(Stuck::AfterAnswer)),
        ] {
            let progress = Arc::new(progress(phase, 60));
            let body = Full::new(Bytes::from_static(b"a part"));
            let mut body = Arriving::new(body, &progress);
            let before = progress.look(PATIENCE, None).err();
            assert!(before.is_some());
            assert_eq!(body.size_hint().exact(), Some(6));
            assert!(body.frame().await.unwrap().is_ok());
            assert_eq!(progress.look(PATIENCE, None).err(), stuck);
            assert!(body.is_end_stream());
        }
    }

    #[test]
    fn it_is_looked_at_again_as_soon_as_the_next_phase_could_end() {
        let next = progress(ANSWERING, 1).look(PATIENCE, None).unwrap();
        assert_eq!(next, PATIENCE.request);
        let patience = Patience {
            request: None,
            idle: None,
        };
        assert_eq!(progress(WORKING, 1_000).look(patience, None), Ok(None));
    }
}
