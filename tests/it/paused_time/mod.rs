//! An in-process bus under paused time: whatever waits for hours takes no real time, and takes exactly that long.
//!
//! Tokio advances its clock to the next timer once every task waits. So a part of the library that measured time with
//! another clock would end too early, never, or spin; and one that never waits would stop the clock.

mod calls;
mod discovery;
mod servers;
mod streams;
mod suite_time;

use std::time::Duration;

use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

/// Checks that so much time has passed, and at most as much more as backoffs and round trips take.
#[track_caller]
fn check_elapsed(since: Instant, expected: Duration) {
    let elapsed = since.elapsed();
    let is_exact = expected <= elapsed && elapsed < expected + Duration::from_millis(500);
    assert!(is_exact, "{elapsed:?}, not {expected:?}");
}
