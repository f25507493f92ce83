//! `ReplayPosition`: how far a replay has read, and which events were removed before it could read them. Pure.
//!
//! # Invariants
//!
//! - A replay with an end is over once the position has reached it: by an event there or behind it, or by a heartbeat
//!   of a consumer that has delivered everything up to there. A count of zero events left is no end: a consumer on a
//!   server that is behind the leader of its stream counts fewer events than there are.
//! - A gap is reported once, before the event behind it, and never for events that the server has sent.
//! - Without a request to the stream a gap is missed only where the server counts as many events as before, though no
//!   time has passed there: between two events of one request.

use std::ops::RangeInclusive;

/// Position of a replay in its stream.
///
/// Sequences are passed over for three reasons: their events do not match the filter, were deleted one by one, as by a
/// limit for each subject, or were removed from the front of the stream, as by a purge, by `max_age` or by a full
/// stream that rolls over. Only the last one is a gap. It shows by the first sequence of the stream, which costs a
/// request, and so is asked for only where a gap is possible:
///
/// - the server counts the events that match behind each one that it delivers, and the count has dropped by more than
///   one;
/// - time has passed at the server between two deliveries, in which events may have been removed and others added;
/// - the server has nothing to deliver any more, though it has counted events.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplayPosition {
    /// Sequence of the last event that was read or passed over, or behind which the replay begins.
    passed: u64,
    /// Number of events behind it that match, by the last count of the server.
    unread: u64,
    /// Last sequence of the replay; `None` if it follows the stream.
    end: Option<u64>,
    /// Last sequence of the stream before the replay was opened: more than those behind it were not added since.
    last_at_begin: u64,
}

/// First and last sequence of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamEnds {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl ReplayPosition {
    /// Begins behind `passed`, where the server counts so many `unread` events.
    pub(super) fn new(passed: u64, unread: u64, end: Option<u64>, last_at_begin: u64) -> Self {
        Self {
            passed,
            unread,
            end,
            last_at_begin,
        }
    }

    /// Returns the sequence of the last event that was read or passed over.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Returns whether the replay has come to its end.
    pub(super) fn is_at_end(&self) -> bool {
        self.end.is_some_and(|end| self.passed >= end)
    }

    /// Returns whether an event lies behind the end.
    pub(super) fn is_beyond(&self, sequence: u64) -> bool {
        self.end.is_some_and(|end| sequence > end)
    }

    /// Returns whether the end lies behind that of the stream, which must have lost events.
    pub(super) fn is_beyond_stream(&self, stream: StreamEnds) -> bool {
        self.end.is_some_and(|end| end > stream.last)
    }

    /// Returns whether the end is probably reached, though nothing has shown it: no event is left to read.
    pub(super) fn may_be_at_end(&self) -> bool {
        self.end.is_some() && self.unread == 0 && !self.is_at_end()
    }

    /// Returns whether events may have been removed in front of this one, behind which the server counts `pending`.
    pub(super) fn is_suspect(&self, sequence: u64, pending: u64, is_behind_pause: bool) -> bool {
        let is_hole = sequence > self.passed + 1;
        is_hole && (is_behind_pause || pending + 1 < self.unread)
    }

    /// Returns whether events were removed, or the stream has lost its end, where the server has delivered everything
    /// up to this sequence.
    pub(super) fn is_idle_suspect(&self, sequence: u64) -> bool {
        let is_short = self.end.is_some_and(|end| sequence < end);
        self.unread > 0 || is_short
    }

    /// Returns the sequences whose events were removed from the front of the stream before they were read, up to
    /// `next`, the first one that was not. `pending` is the number of events that match from `next` on, by the count
    /// of the server: where it shows that none is missing, those removed did not match.
    pub(super) fn gap(
        &self,
        next: u64,
        pending: u64,
        stream: StreamEnds,
    ) -> Option<RangeInclusive<u64>> {
        let last = (next - 1).min(stream.first.saturating_sub(1));
        let last = self.end.map_or(last, |end| last.min(end));
        let max_added = stream.last.saturating_sub(self.last_at_begin);
        let is_complete = self.unread.saturating_add(max_added) <= pending;
        (self.passed < last && !is_complete).then(|| self.passed + 1..=last)
    }

    /// Goes on behind an event that is read otherwise than from the consumer.
    pub(super) fn pass_one(&mut self, sequence: u64) {
        self.pass(sequence, self.unread.saturating_sub(1));
    }

    /// Goes on to an event, or to where the server is.
    pub(super) fn pass(&mut self, sequence: u64, unread: u64) {
        self.passed = self.passed.max(sequence);
        self.unread = unread;
    }
}

#[cfg(test)]
#[path = "replay_position_tests.rs"]
mod tests;
