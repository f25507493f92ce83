//! A deadline for a future, so that a test fails instead of hanging, and names the line.

use std::panic::Location;
use std::time::Duration;

/// Waits for `future` for at most `limit`.
///
/// ```
/// # use std::time::Duration;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let two = micro_testkit::within(Duration::from_secs(1), async { 1 + 1 }).await;
/// assert_eq!(two, 2);
/// # });
/// ```
///
/// # Panics
///
/// If the future does not complete in time. The text names the line that called `within`.
#[track_caller]
pub fn within<F: Future>(limit: Duration, future: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        match tokio::time::timeout(limit, future).await {
            Ok(output) => output,
            Err(_) => panic!("not done within {limit:?}, as {caller} asked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "not done within 10ms, as tests/support/src/deadline.rs:")]
    async fn a_timeout_names_the_calling_line() {
        within(Duration::from_millis(10), std::future::pending::<()>()).await;
    }
}
