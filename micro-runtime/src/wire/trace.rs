//! The headers of W3C Trace Context and Baggage, which are forwarded with nested calls without being parsed.

use async_nats::HeaderMap;

use crate::wire::header::TRACE;

/// Returns the trace headers among `headers`, in any case, by the names of W3C; `None` if there are none.
///
/// One that is longer than its limit is left out (docs/PROTOCOL.md, META-5): each nested call and event would carry it
/// on, and a caller could make each of them hundreds of kilobytes long.
pub(crate) fn trace_headers(headers: &HeaderMap) -> Option<HeaderMap> {
    let mut trace = None;
    // A walk over the few headers of a request takes less time than three lookups.
    for (name, values) in headers.iter() {
        let name: &str = name.as_ref();
        let known = TRACE
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known.as_ref()));
        if let (Some((known, max_len)), Some(value)) = (known, values.first()) {
            if value.as_str().len() > *max_len {
                tracing::debug!(header = %known, max_len, "left out a trace header that is too long");
                continue;
            }
            trace
                .get_or_insert_with(HeaderMap::new)
                .insert(known.clone(), value.clone());
        }
    }
    trace
}

/// Adds the trace headers of a context to those of a nested call.
pub(crate) fn forward_trace(headers: &mut Option<HeaderMap>, trace: Option<&HeaderMap>) {
    for (name, values) in trace.iter().flat_map(|trace| trace.iter()) {
        for value in values {
            headers
                .get_or_insert_with(HeaderMap::new)
                .append(name.clone(), value.clone());
        }
    }
}
