//! `Delivery`: which stored event a handler has before it, and how often it has been tried. Pure.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::wire::subject::ACK_PREFIX;

/// Where a durable event lies in its stream, and how often it has been delivered.
///
/// Stream and sequence name an event for good: a handler that keeps them beside what it writes can
/// tell a redelivery from news.
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
    time: SystemTime,
    pending: u64,
}

impl Delivery {
    /// Makes the first delivery of an event, to call a handler from a unit test.
    #[must_use]
    pub fn for_test(stream: &str, sequence: u64) -> Self {
        Self {
            stream: stream.into(),
            sequence,
            count: 1,
            time: SystemTime::now(),
            pending: 0,
        }
    }

    /// Reads the subject that a delivery is acknowledged on:
    /// `$JS.ACK.<stream>.<consumer>.<count>.<sequence>.<consumer sequence>.<ns>.<pending>`, since
    /// nats-server 2.14 also with domain and account before the stream.
    pub(crate) fn parse(stream: &Arc<str>, reply: &str) -> Option<Self> {
        let text = reply.strip_prefix(ACK_PREFIX)?;
        let mut tokens = [[].as_slice(); 9];
        let mut found = 0;
        for token in text.as_bytes().split(|&byte| byte == b'.') {
            if let Some(place) = tokens.get_mut(found) {
                *place = token;
            }
            found += 1;
        }
        let names = if found > 7 { 4 } else { 2 };
        let mut numbers = tokens[names..].iter().map(|token| number(token));
        let mut next = || numbers.next()?;
        let (count, sequence, _) = (next()?, next()?, next()?);
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(next()?))?;
        Some(Self {
            stream: Arc::clone(stream),
            sequence,
            count,
            time,
            pending: next()?,
        })
    }

    /// The stream that the event lies in.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The event's number in its stream, from 1.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How many times the event has been delivered to this consumer, this one included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Says whether the event has been delivered before: it may have been handled before, too.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.count > 1
    }

    /// When the event was stored.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        self.time
    }

    /// How many events of this consumer waited behind this one when it was delivered.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let next = |number: u64, byte: &u8| {
        let digit = char::from(*byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    };
    let number = digits.iter().try_fold(0, next)?;
    (!digits.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_subject_are_read() {
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
