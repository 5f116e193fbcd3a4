//! Waiting for something to be so.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How many times longer everything may take than on a machine of its own speed.
static PATIENCE: AtomicU32 = AtomicU32::new(1);

/// Gives everything that is waited for `times` its time: an emulated machine is that much slower.
pub fn be_patient(times: u32) {
    PATIENCE.store(times.max(1), Ordering::Relaxed);
}

/// A limit of an ordinary machine's, on this one.
#[must_use]
pub fn patiently(limit: Duration) -> Duration {
    limit * PATIENCE.load(Ordering::Relaxed)
}

/// Polls until there is something; an error ends the wait at once, and in vain it says what was waited for.
///
/// # Errors
/// The probe's, or that the time is over.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let limit = patiently(limit);
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {limit:?} in vain for {what}");
        }
        std::thread::sleep(PAUSE);
    }
}

/// The time most things get.
pub const SOON: Duration = Duration::from_secs(30);
