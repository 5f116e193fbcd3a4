//! `watchdog`: runs on the node itself, in a systemd unit of its own, while a transaction is open.
//!
//! The installer holds the node's lock from beginning to end, so the lock is the sign of its life: when the lock comes
//! free and the transaction is still open, the installer was killed, and when the deadline passes, it hangs.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::session::Session;
use crate::args::WatchdogArgs;
use crate::failure::Failure;
use crate::host::{HostRoot, process};
use crate::journal::{Journal, Transaction};
use crate::report::{Outcome, Report};

/// How long the lock of a killed installer may take to come free.
const AFTER_KILL: Duration = Duration::from_secs(30);

/// Waits, and undoes the transaction (or ends it, if containerd proves healthy with it) when its installer does not.
pub(super) fn watch(args: &WatchdogArgs, report: &mut Report) -> Result<(), Failure> {
    let deadline = args.node.transaction_deadline();
    let session = match Session::begin_within(&args.node, report, deadline) {
        Ok(session) => session,
        Err(failure) if failure.reason == "Busy" => {
            kill_owner(args)?;
            Session::begin_within(&args.node, report, AFTER_KILL)?
        }
        Err(failure) => return Err(failure),
    };
    let open = session
        .journal
        .open_transaction()
        .map_err(|error| Failure::failed(&error))?;
    if open.is_none_or(|open| open.id != args.transaction) {
        report.end(
            Outcome::Unchanged,
            "Confirmed",
            format!("transaction {} is closed", args.transaction),
        );
        return Ok(());
    }
    tracing::warn!(
        "the installer is gone and transaction {} is open",
        args.transaction
    );
    session.recover(report, true)?;
    report.end(
        Outcome::Done,
        "Recovered",
        format!("transaction {} is closed", args.transaction),
    );
    Ok(())
}

/// Ends an installer that hangs, if it still is the process that opened the transaction.
fn kill_owner(args: &WatchdogArgs) -> Result<(), Failure> {
    let root = HostRoot::new(&args.node.host_root).map_err(|error| Failure::failed(&error))?;
    let journal = Journal::of(&root).map_err(|error| Failure::failed(&error))?;
    let open = journal
        .open_transaction()
        .map_err(|error| Failure::failed(&error))?;
    let owner = open
        .filter(|open: &Transaction| open.id == args.transaction)
        .and_then(|open| open.owner);
    let Some((pid, started)) = owner else {
        return Ok(());
    };
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(Ok(handle)) = raw.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
        return Ok(());
    };
    // The handle names one process for good; only now is its identity worth checking.
    if process::start_time(&root, pid) != Some(started) {
        return Ok(());
    }
    tracing::warn!("the installer (process {pid}) did not end in time: killing it");
    pidfd_send_signal(&handle, Signal::KILL).map_err(|error| Failure {
        outcome: Outcome::Failed,
        reason: "InstallerHangs",
        message: format!(
            "the installer (process {pid}) hangs and cannot be killed: {}",
            io::Error::from(error)
        ),
    })
}
