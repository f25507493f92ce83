//! The clock of a `Machine`: what happens when nothing arrives. Pure; the driver supplies the time.
//!
//! Rules, from docs/PROTOCOL.md, "Liveness" and "Time":
//!
//! - A call with a deadline is reset at both ends when it passes; each end has a clock, so neither needs the other's
//!   frame.
//! - The first frame of the peer must arrive within the open timeout (5 s).
//! - After each heartbeat (5 s) without a frame from the peer a PING is sent; after the idle timeout (three heartbeats)
//!   the stream ends with `UNAVAILABLE`. NATS usually reports an absent peer much earlier, see `output.rs`.

use std::time::Instant;

use crate::status::Reason;
use crate::stream::machine::{Machine, peer_gone};

impl Machine {
    /// Does what is due at this time. No effect when nothing is, so it may be called at any time; call it at
    /// [`next_time`](Self::next_time) at the latest.
    pub(crate) fn on_time(&mut self, now: Instant) {
        if self.is_done {
            return;
        }
        if self.pending.reset.is_some() {
            // The reset of a client waits for the server's address, until the open timeout.
            let is_over = self.open_deadline.is_none_or(|deadline| deadline <= now);
            self.is_done = is_over && !self.has_output();
            return;
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            let text = "the stream did not end before its deadline";
            return self.reset(Reason::Deadline.status(text));
        }
        if let Some(open_deadline) = self.open_deadline {
            if open_deadline <= now {
                let timeout = self.limits.open_timeout;
                self.fail(peer_gone(format!(
                    "the peer did not open the stream within {timeout:?}"
                )));
            }
            return;
        }
        let silence = now.saturating_duration_since(self.last_received);
        if silence >= self.limits.idle_timeout {
            let status = peer_gone(format!(
                "the other end of the stream was silent for {silence:.0?}"
            ));
            self.reset(status);
        } else if silence >= self.limits.heartbeat * (self.pings + 1) {
            self.pings += 1;
            self.pending.ping = true;
        }
    }

    /// Returns the next moment at which time alone changes something; `None` once the stream is done, or while
    /// a RESET waits to be sent.
    ///
    /// Most moments are later than the one before, since each frame of the peer moves the next PING; the driver
    /// so sets its timer only for an earlier one.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        if self.is_done {
            return None;
        }
        if self.pending.reset.is_some() {
            return self.open_deadline;
        }
        let liveness = match self.open_deadline {
            Some(open_deadline) => open_deadline,
            None => {
                let ping = self.limits.heartbeat * (self.pings + 1);
                self.last_received + ping.min(self.limits.idle_timeout)
            }
        };
        let deadline = self.deadline.unwrap_or(liveness);
        Some(deadline.min(liveness))
    }
}
