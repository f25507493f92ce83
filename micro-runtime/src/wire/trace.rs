//! The W3C trace headers of a request.

use async_nats::HeaderMap;

use crate::wire::header::TRACE;

/// The W3C trace headers of a request, to be forwarded with nested calls.
pub(crate) fn trace_headers(headers: &HeaderMap) -> Option<HeaderMap> {
    let mut trace = None;
    // To look through a few headers takes less than to look up one.
    for (name, values) in headers.iter().filter(|(name, _)| TRACE.contains(name)) {
        if let Some(value) = values.first() {
            trace
                .get_or_insert_with(HeaderMap::new)
                .insert(name.clone(), value.clone());
        }
    }
    trace
}

/// Adds a context's trace headers to a nested call.
pub(crate) fn forward_trace(headers: &mut Option<HeaderMap>, trace: Option<&HeaderMap>) {
    for (name, values) in trace.iter().flat_map(|trace| trace.iter()) {
        for value in values {
            headers
                .get_or_insert_with(HeaderMap::new)
                .append(name.clone(), value.clone());
        }
    }
}
