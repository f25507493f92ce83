//! The header `Micro-Timeout`: the time left for a call (docs/PROTOCOL.md, "Time").
//!
//! It is a duration and not a deadline, since the clocks of two machines differ. The time on the way is lost
//! by that, so that a server may work for a caller that has just given up, and never the other way round.

use std::time::Duration;

use async_nats::{HeaderMap, HeaderValue};

use crate::status::{Reason, Status};
use crate::wire::header::{MICRO_TIMEOUT, find, parse_number};
use crate::wire::percent::percent_encode;

/// Time that a unary caller waits if it sends no header and its .proto sets no timeout: a constant of version
/// 1. Changing it makes servers of another version give calls up too early or too late.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sets the header to the time left, in whole milliseconds, at least 1.
pub(crate) fn encode_timeout(headers: &mut Option<HeaderMap>, left: Duration) {
    let milliseconds = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    headers
        .get_or_insert_with(HeaderMap::new)
        .insert(MICRO_TIMEOUT, HeaderValue::from(milliseconds));
}

/// Reads the time left; `None` without the header.
///
/// # Errors
///
/// `INVALID_ARGUMENT` for anything but a whole number of at least 1.
pub(crate) fn decode_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = find(headers, &MICRO_TIMEOUT) else {
        return Ok(None);
    };
    match parse_number(value.as_str()) {
        Some(milliseconds @ 1..) => Ok(Some(Duration::from_millis(milliseconds))),
        _ => Err(Reason::BadHeader.status(format!(
            "`Micro-Timeout: {}` is not a count of milliseconds of at least 1",
            percent_encode(value.as_str(), 64)
        ))),
    }
}
