//! The reply subject of a delivery of JetStream, on which it is acknowledged (docs/PROTOCOL.md, DUR-4).

use async_nats::Subject;

/// First tokens of these subjects.
const ACK_PREFIX: &str = "$JS.ACK.";

/// Numbers in the reply subject of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AckNumbers {
    /// Number of deliveries of the event to this consumer, this one included.
    pub(crate) deliveries: u64,
    /// Sequence of the event in its stream.
    pub(crate) sequence: u64,
    /// Position of the delivery among all of its consumer, from 1 on.
    pub(crate) consumer_sequence: u64,
    /// Time at which the event was stored, in nanoseconds since 1970.
    pub(crate) stored_ns: u64,
    /// Number of events of this consumer that are stored behind this one.
    pub(crate) pending: u64,
}

/// Reads the reply subject of a delivery, which is also where it is acknowledged; `None` for any other.
///
/// `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<ns>.<pending>`, and from
/// nats-server 2.14 on with domain and account before the stream, and possibly more tokens at the end.
pub(crate) fn parse_ack(subject: &str) -> Option<AckNumbers> {
    let text = subject.strip_prefix(ACK_PREFIX)?;
    let mut tokens = [[].as_slice(); 9];
    let mut found = 0;
    for token in text.as_bytes().split(|&byte| byte == b'.') {
        if let Some(slot) = tokens.get_mut(found) {
            *slot = token;
        }
        found += 1;
    }
    let names = if found > 7 { 4 } else { 2 };
    let mut numbers = tokens[names..].iter().map(|token| number(token));
    let mut next = || numbers.next()?;
    Some(AckNumbers {
        deliveries: next()?,
        sequence: next()?,
        consumer_sequence: next()?,
        stored_ns: next()?,
        pending: next()?,
    })
}

/// Returns where an event is acknowledged that was delivered and that this process has not read.
///
/// Of the numbers JetStream reads the sequence alone; the others are for [`parse_ack`]. It takes the form without
/// domain and account also where deliveries come with both.
pub(crate) fn ack(stream: &str, consumer: &str, sequence: u64, stored_ns: u64) -> Subject {
    Subject::from(format!(
        "{ACK_PREFIX}{stream}.{consumer}.1.{sequence}.0.{stored_ns}.0"
    ))
}

/// Returns whether `subject` is where a delivery of this consumer is acknowledged.
pub(crate) fn is_ack_of(subject: &str, stream: &str, consumer: &str) -> bool {
    let Some(text) = subject.strip_prefix(ACK_PREFIX) else {
        return false;
    };
    let tokens = text.split('.').collect::<Vec<_>>();
    let names = if tokens.len() > 7 { 2 } else { 0 };
    tokens.get(names..names + 2) == Some(&[stream, consumer])
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
#[path = "ack_subject_tests.rs"]
mod tests;
