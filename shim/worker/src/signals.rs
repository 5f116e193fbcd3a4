//! Signals. A worker is the first process of its PID namespace: the kernel ignores for it what it does not
//! handle (pid_namespaces(7)).

use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::Engine;

/// What ends a process that does not care, and what images name as their stop signal.
const ENDING: [libc::c_int; 6] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// How much processor time a guest of a server gets before others have their turn.
const TURN: libc::timeval = libc::timeval {
    tv_sec: 0,
    tv_usec: 10_000,
};

/// Ends the process with 128 + n at signals that would end any other.
///
/// # Errors
/// When a handler cannot be installed.
pub(crate) fn end_at_once() -> io::Result<()> {
    extern "C" fn end(signal: libc::c_int) {
        // SAFETY: _exit(2) may be called from a handler (signal-safety(7)).
        unsafe { libc::_exit(128 + signal) }
    }
    ENDING
        .into_iter()
        .try_for_each(|signal| install(signal, end))
}

/// Has this process killed when the pod process ends, which nobody else would do for one that is not in a PID namespace
/// of its own. To be called after the ids have changed, which undoes it (prctl(2), `PR_SET_PDEATHSIG`), and before the
/// pod process is heard of again, whose end before this would go unnoticed.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn end_with_parent() -> io::Result<()> {
    // SAFETY: plain system call.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether one of the signals that were let go has come.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Only takes note of these signals until somebody else handles them, and from then on beside them: tokio's handlers call
/// those before them. Ignored meanwhile they would be lost, and blocked in one thread they would be another's.
///
/// # Errors
/// When a handler cannot be installed.
pub(crate) fn let_go(signals: &[libc::c_int]) -> io::Result<()> {
    extern "C" fn note(_: libc::c_int) {
        TOLD.store(true, Ordering::Relaxed);
    }
    signals.iter().try_for_each(|&signal| install(signal, note))
}

/// Whether a signal that was let go has come since.
pub(crate) fn were_told() -> bool {
    TOLD.load(Ordering::Relaxed)
}

static TICKING: OnceLock<Engine> = OnceLock::new();

/// Moves the engine's epoch on for each turn of processor time that this process has used: an idle server
/// is not woken, which a ticking thread would do.
///
/// # Errors
/// When the timer cannot be set.
pub(crate) fn take_turns(engine: &Engine) -> io::Result<()> {
    extern "C" fn tick(_: libc::c_int) {
        // Both are atomic operations only; the engine's documentation allows this call in handlers.
        if let Some(engine) = TICKING.get() {
            engine.increment_epoch();
        }
    }
    // Set once; a worker has one server.
    if TICKING.set(engine.clone()).is_err() {
        return Ok(());
    }
    install(libc::SIGPROF, tick)?;
    let timer = libc::itimerval {
        it_interval: TURN,
        it_value: TURN,
    };
    // SAFETY: `timer` is valid for the call.
    match unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn install(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) -> io::Result<()> {
    set(signal, handler as *const () as usize)
}

fn set(signal: libc::c_int, handler: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid one; the handlers here only do what handlers may. They run on
    // the alternate stack where there is one, since a guest's stack may be full.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        match libc::sigaction(signal, &raw const action, ptr::null_mut()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_comes_before_its_handler_is_not_lost() {
        let_go(&[libc::SIGUSR2]).unwrap();
        assert!(!were_told());
        // SAFETY: the handler that was just installed takes note of it.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
        assert!(were_told());
    }
}
