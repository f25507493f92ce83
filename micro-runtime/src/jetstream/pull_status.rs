//! `PullStatus`: the meaning of a status that JetStream sends to an inbox of pull requests (ADR-13). Pure.
//!
//! | status | meaning | next request |
//! |---|---|---|
//! | none | an event; nothing follows the last one of a request | once there is room |
//! | 100 Idle Heartbeat | the consumer is well, and has delivered everything up to `Nats-Last-Stream` | none is needed |
//! | 404 No Messages, 408 Request Timeout, 409 Batch Completed | the request is over | at once |
//! | 409 Message Size Exceeds MaxBytes | the request is over, and the next event does not fit | at once, for more bytes if nothing fitted |
//! | 409 Leadership Change, Server Shutdown | all requests are over, and the consumer is well | after 100 to 500 ms |
//! | 409 Consumer Deleted, also of a deleted stream; 503; others | the consumer is gone, or has no leader | once it is looked up |
//! | 409 Exceeded MaxRequestBatch, MaxRequestExpires, MaxRequestMaxBytes | an operator allows less | at once, within the limit |
//! | 409 Exceeded MaxWaiting; 400; 423 | no request is taken now, or none of this kind | after 5 s |

use std::time::Duration;

use async_nats::{HeaderMap, HeaderName};

use crate::wire::header::stored::{LAST_CONSUMER, LAST_STREAM};
use crate::wire::header::{find, parse_number};

/// Meaning of a message with a status, which is no delivery.
#[derive(Debug, PartialEq)]
pub(super) enum PullStatus {
    /// The consumer has nothing to deliver for now. `None` of a server that does not send its position.
    Heartbeat(Option<HeartbeatPosition>),
    /// The oldest request has ended: it has expired, or there was nothing for it.
    Ended,
    /// The oldest request has ended: the next event is longer than the bytes that it has left.
    OutOfBytes,
    /// All requests have ended, and the consumer is well: another server has become its leader, or its leader stops.
    Interrupted,
    /// The newest request exceeds a limit of the consumer, which only operators set.
    Exceeded(PullLimit),
    /// The newest request was refused for a cause that another one would have as well.
    Rejected,
    /// The consumer is gone, or has no leader.
    Lost,
}

/// Position of a consumer, which it reports while it has nothing to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeartbeatPosition {
    /// Number of its deliveries.
    pub(super) deliveries: u64,
    /// Sequence of the stream up to which everything was delivered, does not match, or is not stored any more.
    pub(super) sequence: u64,
}

/// Limit of a consumer for its pull requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PullLimit {
    /// Number of events.
    Batch(usize),
    /// Time until a request expires.
    Expiry(Duration),
    /// Number of bytes.
    Bytes(usize),
    /// Number of requests that wait, those of other processes included; or a limit of an unknown kind.
    Waiting,
}

impl PullStatus {
    /// Reads the status with its text. Texts count where one code has several meanings, and an unknown one of them
    /// counts as a loss, behind which the consumer is looked up.
    pub(super) fn read(code: u16, text: &str, headers: Option<&HeaderMap>) -> Self {
        match code {
            100 => Self::Heartbeat(HeartbeatPosition::read(headers)),
            404 | 408 => Self::Ended,
            409 if text.starts_with("Message Size") => Self::OutOfBytes,
            409 if text == "Batch Completed" => Self::Ended,
            409 if text == "Leadership Change" || text == "Server Shutdown" => Self::Interrupted,
            409 => match text.strip_prefix("Exceeded ") {
                Some(limit) => Self::Exceeded(PullLimit::read(limit)),
                None => Self::Lost,
            },
            400 | 423 => Self::Rejected,
            _ => Self::Lost,
        }
    }
}

impl HeartbeatPosition {
    fn read(headers: Option<&HeaderMap>) -> Option<Self> {
        let number = |name: &HeaderName| parse_number(find(headers?, name)?.as_str());
        Some(Self {
            deliveries: number(&LAST_CONSUMER)?,
            sequence: number(&LAST_STREAM)?,
        })
    }
}

impl PullLimit {
    /// Reads the limit as nats-server names it, as in `MaxRequestBatch of 10`.
    fn read(text: &str) -> Self {
        let Some((name, value)) = text.split_once(" of ") else {
            return Self::Waiting;
        };
        let number = || value.parse().ok().filter(|&number| number > 0);
        let limit = match name {
            "MaxRequestBatch" => number().map(Self::Batch),
            "MaxRequestMaxBytes" => number().map(Self::Bytes),
            "MaxRequestExpires" => parse_go_duration(value).map(Self::Expiry),
            _ => None,
        };
        limit.unwrap_or(Self::Waiting)
    }
}

/// Reads a duration as Go writes it: `1m0s`, `1.5s`, `500ms`. `None` for zero, and for what is none.
fn parse_go_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit());
        let (unit, behind) = behind.split_at(end.unwrap_or(behind.len()));
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" | "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = behind;
    }
    (total > Duration::ZERO).then_some(total)
}

#[cfg(test)]
#[path = "pull_status_tests.rs"]
mod tests;
