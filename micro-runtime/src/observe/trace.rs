//! W3C trace context between a span and the headers of a call, with the feature `opentelemetry`.
//!
//! Only sampled spans are written: one header makes a call allocate a `HeaderMap` on both sides, which costs more than
//! the rest of a small call.

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::wire::header::{TRACEPARENT, TRACESTATE};

/// Writes the span into the headers if it is sampled, in place of a `traceparent` that is there.
pub(crate) fn inject(span: &Span, headers: &mut Option<HeaderMap>) {
    if span.is_disabled() {
        return;
    }
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() || !span.is_sampled() {
        return;
    }
    let parent = format!(
        "00-{}-{}-{:02x}",
        span.trace_id(),
        span.span_id(),
        span.trace_flags().to_u8()
    );
    set(headers, TRACEPARENT, &parent);
    let state = span.trace_state().header();
    if !state.is_empty() {
        set(headers, TRACESTATE, &state);
    }
}

/// Makes the span in the headers the parent of `span`; a malformed header is ignored.
pub(crate) fn extract(span: &Span, headers: Option<&HeaderMap>) {
    let Some(headers) = headers.filter(|_| !span.is_disabled()) else {
        return;
    };
    if let Some(remote) = remote(headers)
        && let Err(error) = span.set_parent(Context::new().with_remote_span_context(remote))
    {
        tracing::debug!(%error, "the caller's span cannot be the parent of this one");
    }
}

/// Links `span` to the span in the headers, of which there may be several; a malformed header is ignored.
#[cfg(feature = "jetstream")]
pub(crate) fn link(span: &Span, headers: &HeaderMap) {
    if !span.is_disabled()
        && let Some(remote) = remote(headers)
    {
        span.add_link(remote);
    }
}

/// Returns the span in the headers.
fn remote(headers: &HeaderMap) -> Option<SpanContext> {
    let state = headers.get(TRACESTATE).map(HeaderValue::as_str);
    let parent = headers.get(TRACEPARENT).map(HeaderValue::as_str);
    parent.and_then(|parent| span_context(parent, state.unwrap_or_default()))
}

fn set(headers: &mut Option<HeaderMap>, name: HeaderName, value: &str) {
    if let Ok(value) = value.parse::<HeaderValue>() {
        let headers = headers.get_or_insert_with(HeaderMap::new);
        headers.insert(name, value);
    }
}

/// Parses `version-trace-span-flags` of W3C Trace Context. Later versions may add fields; version `ff` is forbidden.
fn span_context(parent: &str, state: &str) -> Option<SpanContext> {
    let mut parts = parent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // `from_str_radix` would take a sign.
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_well_formed = [version, trace, span, flags].into_iter().all(is_hex)
        && version.len() == 2
        && version != "ff"
        && trace.len() == 32
        && span.len() == 16
        && flags.len() == 2
        && (version != "00" || parts.next().is_none());
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        state.parse::<TraceState>().unwrap_or_default(),
    );
    (is_well_formed && context.is_valid()).then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_parsed_by_the_rules_of_w3c() {
        let check = |parent: &str, expected: bool| {
            assert_eq!(span_context(parent, "a=b").is_some(), expected, "{parent}");
        };
        check(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            true,
        );
        check(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            true,
        );
        check(
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
            true,
        );
        check(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
            false,
        );
        check(
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            false,
        );
        check(
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            false,
        );
        check(
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            false,
        );
        check(
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            false,
        );
        check(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            false,
        );
        for signed in [
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-+7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
            "+0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            check(signed, false);
        }
        check("garbage", false);
        check("", false);
    }
}
