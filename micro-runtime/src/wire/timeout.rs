//! The time left for a call as the header `Micro-Timeout`, and back.

use std::time::Duration;

use async_nats::{HeaderMap, HeaderValue};

use crate::status::{Reason, Status};
use crate::wire::header::MICRO_TIMEOUT;
use crate::wire::percent::percent_encode;

/// What a unary caller waits who says nothing; a constant of wire version 1.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Says what is left for a call, in whole milliseconds, at least 1.
pub(crate) fn encode_timeout(headers: &mut Option<HeaderMap>, left: Duration) {
    let milliseconds = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    headers
        .get_or_insert_with(HeaderMap::new)
        .insert(MICRO_TIMEOUT, HeaderValue::from(milliseconds));
}

/// Reads what is left for a call, if the caller says so.
pub(crate) fn decode_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(MICRO_TIMEOUT) else {
        return Ok(None);
    };
    match value.as_str().parse::<u64>() {
        Ok(milliseconds) if milliseconds > 0 => Ok(Some(Duration::from_millis(milliseconds))),
        _ => Err(Reason::BadHeader.status(format!(
            "`Micro-Timeout: {}` is not a count of milliseconds of at least 1",
            percent_encode(value.as_str(), 64)
        ))),
    }
}
