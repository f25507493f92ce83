//! `beside_control`: a call, and a timer of the same process with the same timeout.

use std::pin::pin;
use std::time::{Duration, Instant};

/// Awaits a call; returns its outcome, and by how much it ended later than the timer.
pub(crate) async fn beside_control<T>(
    timeout: Duration,
    call: impl Future<Output = T>,
) -> (T, Duration) {
    let control = tokio::time::sleep(timeout); // sleep: the control timer
    let mut call = pin!(call);
    tokio::select! {
        biased;
        outcome = &mut call => (outcome, Duration::ZERO),
        () = control => {
            let fired = Instant::now();
            (call.await, fired.elapsed())
        }
    }
}
