//! `recover`: what the recovery unit runs at boot, before containerd (`transaction::boot`).

use std::path::PathBuf;

use super::session::Session;
use crate::args::NodeArgs;
use crate::failure::Failure;
use crate::host::{HostRoot, process};
use crate::journal::Journal;
use crate::report::{Outcome, Report};
use crate::transaction::Recovered;

/// Ends a transaction that the machine's stop left open.
pub(super) fn recover(args: &NodeArgs, report: &mut Report) -> Result<(), Failure> {
    // Without the lock, which an installer at work holds: should systemd load the unit while the machine runs, a restart
    // of containerd would wait for it, and the installer for the restart.
    let root = HostRoot::new(&args.host_root).map_err(|error| Failure::refused(&error))?;
    let journal = Journal::of(&root).map_err(|error| Failure::refused(&error))?;
    let open = journal
        .open_transaction()
        .map_err(|error| Failure::refused(&error))?;
    let Some(open) = open else {
        report.end(Outcome::Unchanged, "NothingOpen", "no transaction is open");
        return Ok(());
    };
    if open.boot.is_some() && open.boot == process::init_start(&root) {
        report.end(
            Outcome::Unchanged,
            "SameBoot",
            format!(
                "transaction {} is of this boot: its watchdog ends it",
                open.id
            ),
        );
        return Ok(());
    }
    let session = Session::begin(args, report)?;
    let mut control = session.control(open.daemon, PathBuf::new());
    // Of another boot, as the watchdog was.
    control.is_watchdog = true;
    let ended = session.engine(&mut control, report, |engine| {
        let ended = engine.recover_at_boot();
        ended.inspect(|ended| tracing::info!("ended before containerd starts: {ended:?}"))
    })?;
    let message = match ended {
        Some(Recovered::Committed) => "the change was proven before the machine stopped, and stays",
        Some(Recovered::Undone) => {
            "the machine stopped in the middle of a change, which was taken back"
        }
        None => "no transaction is open",
    };
    let _ = session.journal.remove_if_unused();
    report.end(Outcome::Done, "Recovered", message);
    Ok(())
}
