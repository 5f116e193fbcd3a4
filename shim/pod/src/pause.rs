//! The pod's own container: a sleeper that holds the pod's namespaces and, where they are shared, reaps.
//!
//! No file of the pause image is run or mounted. The sleeper is a fork of this process that gives everything away:
//! an empty read-only root, the ids of the spec, no capabilities, no descriptors. With a shared process namespace
//! other containers see it as PID 1, and `/proc/1/root` must lead nowhere.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

use slipway_shim_container::{Profile, SetupError, drop_privileges, enter_sandbox, seal};
use slipway_shim_wire::Plan;

use crate::spawn;

/// What the sleeper writes to its pipe when it stands; anything else is the sentence that says why it does not.
pub const READY: &[u8] = b"\0";

/// Runs in the child of a fork: becomes the sleeper of `plan`, says so on `report`, and sleeps.
pub fn run(plan: &Plan, report: OwnedFd) -> Infallible {
    spawn::close_all_but(report.as_raw_fd());
    let mut report = File::from(report);
    let result = become_sleeper(plan);
    let told = match &result {
        Ok(()) => report.write_all(READY),
        Err(error) => report.write_all(error.to_string().as_bytes()),
    };
    drop(report);
    match (result, told) {
        (Ok(()), Ok(())) => sleep(),
        _ => exit(1),
    }
}

fn become_sleeper(plan: &Plan) -> Result<(), SetupError> {
    enter_sandbox(plan)?;
    drop_privileges(plan)?;
    // SAFETY: a plain system call on a C string; a name that is not taken is no loss.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"slipway-pause".as_ptr(), 0, 0, 0) };
    seal(plan, Profile::Spec)
}

/// Waits for the end. All signals are blocked since before the fork, so none is lost or ignored, not even for a
/// PID 1, which has no default actions (pid_namespaces(7)).
fn sleep() -> ! {
    loop {
        let mut signal = 0;
        // SAFETY: the set is initialised by sigfillset; `signal` is a valid place to write to.
        let result = unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::sigwait(&raw const all, &raw mut signal)
        };
        match signal {
            _ if result != 0 => {}
            // As the pause image's program does.
            libc::SIGTERM | libc::SIGINT => exit(0),
            libc::SIGCHLD => while crate::signals::reap().is_some() {},
            _ => {}
        }
    }
}

fn exit(status: i32) -> ! {
    // SAFETY: ends this process without running what its parent registered for its own end.
    unsafe { libc::_exit(status) }
}
