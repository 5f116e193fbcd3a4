//! `watch`: looks at what was installed, second by second, until something of it is gone. It changes and locks nothing and
//! needs no right but reading root's files, so it can run as a pod of its own for as long as the node has a shim.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::session::runtime;
use crate::args::WatchArgs;
use crate::drift::Watch;
use crate::failure::{Failure, chain};
use crate::host::HostRoot;
use crate::journal::Journal;
use crate::report::{Outcome, Report};

/// Between two looks. Two have to find the same, so what is gone is told within twice this.
const PERIOD: Duration = Duration::from_secs(1);

/// Ends when it is told to, or with what is gone: the handlers it concerns and a sentence.
pub(super) fn watch(args: &WatchArgs, report: &mut Report) -> Result<(), Failure> {
    let root = HostRoot::new(&args.host_root).map_err(|error| Failure::refused(&error))?;
    let journal = Journal::of(&root).map_err(|error| Failure::refused(&error))?;
    let mut watch = Watch::new(&root, &journal);
    runtime()?.block_on(async {
        // As the first process of a container it gets no signal that it does not ask for.
        let mut stop = signal(SignalKind::terminate())
            .map_err(|error| Failure::refusal("Internal", format!("no signals: {error}")))?;
        let mut trouble = String::new();
        loop {
            match watch.look() {
                Ok(Some(drift)) => {
                    report.handlers = drift.handlers;
                    return Err(Failure::unfinished("Drifted", drift.message));
                }
                Ok(None) => trouble.clear(),
                Err(error) => {
                    // A journal that goes away while it is read, or a newer installer's.
                    let now = chain(&error);
                    if now != trouble {
                        tracing::warn!("{now}");
                        trouble = now;
                    }
                }
            }
            if timeout(PERIOD, stop.recv()).await.is_ok() {
                break;
            }
        }
        report.end(Outcome::Done, "Stopped", "told to stop");
        Ok(())
    })
}
