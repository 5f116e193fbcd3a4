//! Waiting for a condition with a deadline: never a bare sleep.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(300);

/// Asks `probe` again and again until it has a value. What it answered last is part of the error.
///
/// `probe` says `Ok(Err(text))` for "not yet, and this is how things stand", and `Err` when waiting on is
/// pointless.
///
/// # Errors
/// When the deadline has passed, or when `probe` gives up.
pub async fn until<T, F, P>(what: &str, patience: Duration, mut probe: P) -> Result<T>
where
    F: Future<Output = Result<Result<T, String>>>,
    P: FnMut() -> F,
{
    let deadline = Instant::now() + patience;
    loop {
        let state = match probe().await? {
            Ok(value) => return Ok(value),
            Err(state) => state,
        };
        if Instant::now() >= deadline {
            bail!("waited {} s for {what}: {state}", patience.as_secs());
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_ends_the_wait() {
        let mut asked = 0;
        let value = until("three", Duration::from_secs(5), || {
            asked += 1;
            let answer = if asked == 2 {
                Ok(asked)
            } else {
                Err(format!("asked {asked}"))
            };
            async move { Ok(answer) }
        })
        .await;
        assert_eq!(value.unwrap(), 2);
    }

    #[tokio::test]
    async fn the_last_state_is_in_the_error() {
        let error = until::<(), _, _>("rain", Duration::ZERO, || async {
            Ok(Err("sun".to_owned()))
        })
        .await;
        assert_eq!(error.unwrap_err().to_string(), "waited 0 s for rain: sun");
    }
}
