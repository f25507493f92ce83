//! `CutDetector`: which losses of a connection count as cuts. Pure; the keeper of the links supplies the losses.
//!
//! async-nats ends a connection at a message that it cannot parse, such as one with a header line without a colon, and
//! reports that as any other loss, without a reason or a subject. Several things together tell it apart:
//!
//! - something was received just before, and neither an error of NATS nor silence explains the loss (`LinkTraffic`),
//! - the nats-server is there still, and the first attempt to connect again succeeds,
//! - it happens at least three times, with at most a minute from one to the next.
//!
//! One such loss may be that of a network under load, so that none counts before the third, and then all of them do.

use std::cmp::Ordering;
use std::time::Duration;

use async_nats::ServerInfo;
use tokio::time::Instant;

use crate::bus::link::link_traffic::LinkLoss;

/// Minimum number of suspect losses in a row that count.
const MIN_CUTS: u64 = 3;
/// Maximum time from one suspect loss to the next one in a row.
const MAX_CUT_INTERVAL: Duration = Duration::from_secs(60);

/// The suspect losses of one connection.
#[derive(Default)]
pub(super) struct CutDetector {
    /// When the last one was noted.
    last: Option<Instant>,
    /// Number of losses of which each came within [`MAX_CUT_INTERVAL`] of the one before.
    in_a_row: u64,
}

impl CutDetector {
    /// Notes a suspect loss, behind which there is a link to the server `next`, at the first attempt if `is_at_once`;
    /// returns the number of losses that count by it.
    pub(super) fn note(&mut self, loss: &LinkLoss, next: &ServerInfo, is_at_once: bool) -> u64 {
        match is_at_once && loss.is_server_there(next) {
            true => self.count(Instant::now()),
            false => 0,
        }
    }

    /// Counts a loss whose server is there still; returns the number of losses that count by it.
    fn count(&mut self, now: Instant) -> u64 {
        let is_next = |last: Instant| now.saturating_duration_since(last) <= MAX_CUT_INTERVAL;
        if !self.last.is_some_and(is_next) {
            self.in_a_row = 0;
        }
        self.last = Some(now);
        self.in_a_row += 1;
        match self.in_a_row.cmp(&MIN_CUTS) {
            Ordering::Less => 0,
            Ordering::Equal => MIN_CUTS,
            Ordering::Greater => 1,
        }
    }
}

#[cfg(test)]
#[path = "cut_detector_tests.rs"]
mod tests;
