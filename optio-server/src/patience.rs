//! Patience at a start: the servers that we need may come up at the same moment as we do.

use std::time::Duration;

use optio_core::{ErrorKind, Result, error::Retry};
use tokio::time::{Instant, sleep};

/// The pause after the first attempt that failed; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Connects to `what`, again and again while it cannot be reached, for about as long as `patience`. Says so in one line
/// each time that the reason is another one.
///
/// # Errors
/// It still cannot be reached; or something is wrong with it that waiting does not mend, such as a password: then at once.
pub(crate) async fn until_up<T, F: Future<Output = Result<T>>>(
    what: &str,
    patience: Duration,
    mut connect: impl FnMut() -> F,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    let mut told = None;
    loop {
        let error = match connect().await {
            Ok(connected) => {
                if told.is_some() {
                    tracing::info!("{what} is up");
                }
                return Ok(connected);
            }
            Err(error) => error,
        };
        let passes = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut)
            && error.retry() == Retry::Later;
        if !passes || Instant::now() + pause > deadline {
            return Err(error);
        }
        if told.as_deref() != Some(error.message()) {
            tracing::warn!("waiting for {what}: {}", error.message());
            told = Some(error.message().to_owned());
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use optio_core::Error;

    use super::*;

    /// What comes of a server that answers so from each attempt to the next, and how many attempts there were.
    async fn meet(
        patience: Duration,
        answer: impl Fn(u32) -> Result<()> + Send + Sync,
    ) -> (Result<()>, u32) {
        let attempts = AtomicU32::new(0);
        let met = until_up("the server", patience, || {
            let before = attempts.fetch_add(1, Relaxed);
            std::future::ready(answer(before + 1))
        });
        (met.await, attempts.load(Relaxed))
    }

    fn away() -> Error {
        Error::unavailable("test", "nobody answers")
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_comes_up_in_time_is_waited_for() {
        let begun = Instant::now();
        let late = |_| match begun.elapsed().as_secs() {
            ..50 => Err(away()),
            _ => Ok(()),
        };
        let (met, attempts) = meet(Duration::from_secs(60), late).await;
        assert!(met.is_ok());
        assert!((20..40).contains(&attempts), "{attempts}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_come_up_is_given_up_with_the_last_reason() {
        let (begun, patience) = (Instant::now(), Duration::from_secs(60));
        let (met, _) = meet(patience, |_| Err(away())).await;
        assert_eq!(met.unwrap_err().message(), "nobody answers");
        assert!(begun.elapsed() <= patience, "{:?}", begun.elapsed());
        assert!(begun.elapsed() + LONGEST_PAUSE >= patience);
        let (met, attempts) = meet(Duration::ZERO, |_| Err(away())).await;
        assert!(met.is_err());
        assert_eq!(attempts, 1, "who has no patience asks once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waiting_does_not_mend_is_told_at_once() {
        for error in [
            Error::new(ErrorKind::Denied, "test", "wrong password"),
            Error::new(ErrorKind::Unsupported, "test", "too old"),
            Error::invalid("test", "no address"),
            Error::not_found("test", "the database"),
            away().with_retry(Retry::Never),
        ] {
            let refused = |attempt| match attempt {
                1 => Err(away()),
                _ => Err(Error::new(error.kind(), "test", "no").with_retry(error.retry())),
            };
            let (met, attempts) = meet(Duration::from_secs(60), refused).await;
            assert_eq!(met.unwrap_err().kind(), error.kind());
            assert_eq!(attempts, 2, "{error}");
        }
    }
}
