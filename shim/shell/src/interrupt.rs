//! Ctrl-C: a flag that whatever can last looks at.

use std::sync::atomic::{AtomicBool, Ordering};

/// What an interrupted line leaves in `$?`: 128 and the signal.
pub(crate) const STATUS: i32 = 128 + libc::SIGINT;

static CAUGHT: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(_signal: libc::c_int) {
    CAUGHT.store(true, Ordering::Relaxed);
}

/// Has SIGINT set the flag instead of ending the process. Without SA_RESTART, so that a waiting read returns.
pub(crate) fn catch() {
    // SAFETY: a zeroed sigaction is a valid one; the handler only stores to an atomic, which is async-signal-safe; the
    // pointers are to a local and null, both valid for the call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
        libc::sigaction(libc::SIGINT, &raw const action, std::ptr::null_mut());
    }
}

/// Whether it came since the flag was last cleared.
pub(crate) fn pending() -> bool {
    CAUGHT.load(Ordering::Relaxed)
}

/// Forgets it.
pub(crate) fn clear() {
    CAUGHT.store(false, Ordering::Relaxed);
}
