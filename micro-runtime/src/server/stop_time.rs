//! `StopTime`: how long each part of a stop may take, so that it ends in time whatever the connection does.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::bus::{Connection, instant_after};

/// Time that is left beyond the grace period where NATS confirms what it gets: for the last replies, of many handlers
/// that were dropped or over a slow link.
const CONFIRMING_OVERTIME: Duration = Duration::from_secs(5);
/// The same where NATS does not: the replies are handed over, but a stop must not wait for what may never come.
const SILENT_OVERTIME: Duration = Duration::from_millis(75);
/// Age up to which a confirmation counts; longer than a busy machine takes for one.
const MAX_AGE: Duration = Duration::from_millis(250);

/// The time of one stop.
pub(super) struct StopTime {
    grace_end: Instant,
    /// Time of the last confirmation by NATS that is known.
    confirmed: Option<Instant>,
}

impl StopTime {
    /// Begins the grace period.
    pub(super) fn begin(grace_period: Duration) -> Self {
        Self {
            grace_end: instant_after(Instant::now(), grace_period),
            confirmed: None,
        }
    }

    pub(super) fn grace_end(&self) -> Instant {
        self.grace_end
    }

    /// Notes that NATS has just confirmed what it got.
    pub(super) fn note_confirmed(&mut self) {
        self.confirmed = Some(Instant::now());
    }

    /// Returns when a part that begins now must have ended.
    pub(super) fn end(&self) -> Instant {
        let now = Instant::now();
        let is_confirming = self.confirmed.is_some_and(|at| now - at <= MAX_AGE);
        let overtime = match is_confirming {
            true => CONFIRMING_OVERTIME,
            false => SILENT_OVERTIME,
        };
        self.grace_end.max(now + overtime)
    }

    /// Waits for the end of the grace period, and finds out shortly before whether NATS confirms anything.
    pub(super) async fn pass(&mut self, connection: &Connection) {
        let is_in_time = self.grace_end - Instant::now() >= MAX_AGE;
        if is_in_time {
            sleep_until(self.grace_end - MAX_AGE).await;
            if let Ok(Ok(())) = timeout_at(self.grace_end, connection.barrier()).await {
                self.note_confirmed();
            }
        }
        sleep_until(self.grace_end).await;
    }
}
