//! The clock of a `Machine`: what happens when nothing arrives. Pure; the driver supplies the time.
//!
//! Rules, from docs/PROTOCOL.md, "Liveness":
//!
//! - A call with a deadline is reset at both ends when it passes; each end has a clock, so neither needs the other's
//!   frame.
//! - The first frame of the peer must arrive within the open timeout (5 s).
//! - After each heartbeat (5 s) without a frame from the peer a PING is sent; after the idle timeout (three heartbeats)
//!   the stream ends with `UNAVAILABLE`. NATS usually reports an absent peer much earlier, see `output.rs`.

use std::time::Duration;

use tokio::time::Instant;

use crate::context::Words;
use crate::status::{Reason, Status};
use crate::stream::machine::{Machine, peer_gone};
use crate::stream::options::StreamLimits;

/// Part of the open timeout after which a server asks a caller that has sent no frame yet.
const FIRST_PING_PART: u32 = 3;

/// Likely cause of a silence right after the first message of a server: NATS has refused the others, which only the
/// server's side can see.
const ONE_MESSAGE_ONLY: &str = "; it sent one message and no more: its permissions probably allow one reply to a request, so that it needs more than `allow_responses: true`, and the export of another account needs `response_type: Stream`";
/// Likely cause of a silence later on.
const MESSAGES_REFUSED: &str = "; likely cause, unless the server has died or hangs: NATS no longer lets it send messages for this call, since `max` or `expires` of its `allow_responses` is too small or a publish permission was revoked; the log of the server has the subject";
/// Likely cause where a large message of a unary call is not complete at the deadline. The client cannot see whether
/// the service may send more than one message for a request.
pub(crate) const IN_PARTS: &str = "; its message is large and comes in parts: if such calls always end so, the likely cause is that the service may send no message, or too few, for a request: it needs `publish: \"_INBOX.>\"` in its permissions, more than `allow_responses: true` or a small `max`, and the export of another account needs `response_type: Stream`";
/// Likely causes of a silence from the beginning.
const NOTHING_ARRIVED: &str = "; nothing arrived from a server: likely causes are a service whose user may not send replies, and needs `publish: \"_INBOX.>\"` in its permissions, as its log states, or a subscriber that is no service, such as a monitor";

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
            // A stream may be silent until its deadline; a large message of a unary call has less reason to be.
            let is_in_parts = self.was_offered || self.label.is_unary();
            let cause = match self.server_address() {
                Some(_) if self.was_offered && self.frames_received <= 1 => ONE_MESSAGE_ONLY,
                _ if is_in_parts && self.is_client() => IN_PARTS,
                _ => self.cause_of_nothing(),
            };
            let name = self.label.name();
            let text = match &self.time_limit {
                Some(limit) => format!("{name} did not end within {limit}{cause}"),
                None => format!("{name} did not end before its deadline{cause}"),
            };
            return self.reset(Reason::Deadline.status(text));
        }
        if let Some(open_deadline) = self.open_deadline {
            if open_deadline <= now {
                let (name, timeout) = (self.label.name(), Words(self.limits.open_timeout));
                let cause = match self.server_address() {
                    Some(_) => self.likely_cause(),
                    None => self.cause_of_nothing(),
                };
                self.fail(peer_gone(format!(
                    "the peer did not open {name} within {timeout}, the open timeout of this end{cause}"
                )));
            }
            return;
        }
        let silence = now.saturating_duration_since(self.last_received);
        let heartbeat = self.heartbeat();
        if silence >= self.limits.idle_timeout {
            let cause = self.likely_cause();
            let status = peer_gone(format!(
                "the other end of the stream was silent for {silence:.0?}{cause}"
            ));
            self.reset(status);
        } else if silence >= heartbeat * (self.pings + 1) {
            self.pings += 1;
            self.pending.ping = true;
        }
    }

    /// Returns the failure of a message that has arrived and was not decoded before the deadline.
    pub(crate) fn not_decoded_in_time(&self) -> Status {
        let what = format!("a message of {} was not decoded", self.label.name());
        match &self.time_limit {
            Some(limit) => limit.exceeded(what),
            None => Reason::Deadline.status(format!("{what} before the deadline")),
        }
    }

    /// Returns the time without a frame after which the peer is asked for one. A server asks a caller that has sent
    /// none yet earlier, and any other one a little earlier than it is asked itself: NATS then reports a caller that
    /// has gone, and within one heartbeat nothing is held for it.
    fn heartbeat(&self) -> Duration {
        let StreamLimits {
            heartbeat,
            open_timeout,
            ..
        } = self.limits;
        match self.is_client() {
            true => heartbeat,
            false if self.frames_received > 0 => heartbeat * 9 / 10,
            false => heartbeat.min(open_timeout / FIRST_PING_PART),
        }
    }

    /// Returns the end of the text for a client at which nothing has arrived.
    fn cause_of_nothing(&self) -> &'static str {
        match self.server_address() {
            None if self.is_client() => NOTHING_ARRIVED,
            _ => "",
        }
    }

    /// Returns the end of the text for a server that has accepted the stream, or offered it, and then sends nothing.
    fn likely_cause(&self) -> &'static str {
        match self.server_address() {
            Some(_) if self.frames_received <= 1 => ONE_MESSAGE_ONLY,
            Some(_) => MESSAGES_REFUSED,
            None => "",
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
                let ping = self.heartbeat() * (self.pings + 1);
                self.last_received + ping.min(self.limits.idle_timeout)
            }
        };
        let deadline = self.deadline.unwrap_or(liveness);
        Some(deadline.min(liveness))
    }
}
