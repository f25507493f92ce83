//! Marks an empty message of a stream without frames.

use async_nats::{HeaderMap, HeaderValue};

use crate::wire::header::MICRO_EMPTY;

/// Marks a message of a stream by hand that has no bytes, so that it is not taken for the end.
pub(crate) fn encode_empty() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MICRO_EMPTY, HeaderValue::from(1));
    headers
}
