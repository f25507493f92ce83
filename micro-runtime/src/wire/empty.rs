//! The header `Micro-Empty`: the mark of an empty message of a stream by hand (docs/PROTOCOL.md, HAND-2).

use async_nats::{HeaderMap, HeaderValue};

use crate::wire::header::MICRO_EMPTY;

/// Returns the headers of an empty message of a stream by hand, where a payload without bytes would mean the end.
pub(crate) fn encode_empty() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MICRO_EMPTY, HeaderValue::from(1));
    headers
}
