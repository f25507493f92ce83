//! `Delivery`: the position of a stored event in its stream, and the number of its deliveries. Pure.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::wire::ack_subject;

/// Position of a durable event in its stream, and number of its deliveries.
///
/// Stream and sequence identify an event for as long as its stream is not deleted and declared anew; with the
/// [`time`](Self::time) at which it was stored also beyond that. Durable events are delivered at least once, so a
/// handler that stores both beside what it writes can recognize an event that it has handled before.
///
/// # Examples
///
/// ```
/// use micro_runtime::jetstream::Delivery;
///
/// let delivery = Delivery::for_test("MARKET", 7);
/// assert_eq!((delivery.stream(), delivery.sequence()), ("MARKET", 7));
/// assert!(!delivery.is_redelivered());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    stream: Arc<str>,
    sequence: u64,
    count: u64,
    attempt: u64,
    time: SystemTime,
    pending: u64,
}

impl Delivery {
    /// Makes the first delivery of an event, stored now, to call a handler from a unit test.
    #[must_use]
    pub fn for_test(stream: &str, sequence: u64) -> Self {
        Self {
            stream: stream.into(),
            sequence,
            count: 1,
            attempt: 1,
            time: SystemTime::now(),
            pending: 0,
        }
    }

    /// Parses the reply subject of a delivery; `None` for any other subject. The name of the stream is passed in so
    /// that all deliveries share one allocation of it.
    pub(crate) fn parse(stream: &Arc<str>, reply: &str) -> Option<Self> {
        let numbers = ack_subject::parse_ack(reply)?;
        let since_1970 = Duration::from_nanos(numbers.stored_ns);
        Some(Self {
            stream: Arc::clone(stream),
            sequence: numbers.sequence,
            count: numbers.deliveries,
            attempt: numbers.deliveries,
            time: SystemTime::UNIX_EPOCH.checked_add(since_1970)?,
            pending: numbers.pending,
        })
    }

    /// Makes that of a stored event which cannot be received. Its number of deliveries is not known, and shown as 1.
    #[cfg(feature = "jetstream")]
    pub(crate) fn unreceived(stream: &Arc<str>, sequence: u64, stored_ns: u64) -> Self {
        let since_1970 = Duration::from_nanos(stored_ns);
        let time = SystemTime::UNIX_EPOCH.checked_add(since_1970);
        Self {
            stream: Arc::clone(stream),
            sequence,
            count: 1,
            attempt: 1,
            time: time.unwrap_or(SystemTime::UNIX_EPOCH),
            pending: 0,
        }
    }

    /// Returns whether both are deliveries of one event.
    #[cfg(feature = "jetstream")]
    pub(super) fn is_of_same(&self, other: &Self) -> bool {
        self.sequence == other.sequence && self.stream == other.stream
    }

    /// Returns the name of the stream that the event is stored in.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Returns the sequence of the event in its stream, from 1.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the number of deliveries of the event to this consumer, this one included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the number of this attempt at the event, from 1: how often a handler has begun with it, as far as the
    /// consumer knows. A delivery that no handler has begun with, as in a process that ended first, is no attempt.
    ///
    /// The same as [`count`](Self::count) in a replay, and for a consumer without a limit of attempts, which does not
    /// count them.
    #[must_use]
    pub fn attempt(&self) -> u64 {
        self.attempt
    }

    /// Sets the number of the attempt.
    #[cfg(feature = "jetstream")]
    pub(crate) fn set_attempt(&mut self, attempt: u64) {
        self.attempt = attempt;
    }

    /// Returns whether the event has been delivered before, so that it may have been handled before.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.count > 1
    }

    /// Returns the time at which the event was stored, by the clock of the nats-server.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        self.time
    }

    /// Returns the number of events that were stored for this consumer behind this one when it was delivered: 0 for
    /// one that was the newest.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_acknowledgment_subject_are_parsed() {
        let check = |reply: &str, expected: Option<(u64, u64, u64, u64)>| {
            let found = Delivery::parse(&"S".into(), reply).map(|delivery| {
                let since = delivery.time().duration_since(SystemTime::UNIX_EPOCH);
                let (count, sequence) = (delivery.count(), delivery.sequence());
                (
                    count,
                    sequence,
                    since.unwrap().as_secs(),
                    delivery.pending(),
                )
            });
            assert_eq!(found, expected, "{reply}");
        };
        check("$JS.ACK.S.c.1.9.4.5000000000.7", Some((1, 9, 5, 7)));
        check(
            "$JS.ACK.hub.AB12.S.c.2.9.4.5000000000.7",
            Some((2, 9, 5, 7)),
        );
        check(
            "$JS.ACK._.AB12.S.c.2.9.4.5000000000.7.r4nd0m",
            Some((2, 9, 5, 7)),
        );
        check("$JS.ACK.S.c.1.9.4.5000000000", None);
        check("$JS.ACK.S.c.x.9.4.5000000000.7", None);
        check("$JS.ACK.S.c.1..4.5000000000.7", None);
        check("$JS.ACK.S.c.1.9.4.5000000000.99999999999999999999", None);
        check("_INBOX.a.b", None);
        check("", None);
    }
}
