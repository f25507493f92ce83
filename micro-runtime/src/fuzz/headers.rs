//! The fuzz target `headers`: the headers of a request, a reply and an event, with their payload.

use std::time::Duration;

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use tokio::time::Instant;

use crate::bus::instant_after;
use crate::context::ContextHeaders;
use crate::dispatch::RequestHeaders;
use crate::fuzz::cases::Cases;
use crate::fuzz::header_block::HeaderBlock;
use crate::status::{Reason, Status};
use crate::stream::{Machine, StreamAddress, StreamHeader, StreamOptions};
use crate::wire;
use crate::wire::header::{MICRO_STREAM, TRACE, continues_as_stream, find};
use crate::wire::{BrokerMessage, CancelToken, PayloadFormat};

/// Maximum length in bytes of the runtime's own part of an error message.
const OWN_TEXT_LEN: usize = 512;
/// Maximum number of details that are read of a failure (docs/PROTOCOL.md, FAIL-4).
const DETAILS: usize = 1024;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Entry point of the fuzz target `headers`.
#[cfg(fuzzing)]
pub fn fuzz_headers(bytes: &[u8]) {
    run(bytes);
}

/// Reads the headers and the payload that `bytes` are.
///
/// # Panics
///
/// Panics if an invariant is violated.
pub(super) fn run(bytes: &[u8]) -> Cases {
    let block = HeaderBlock::read(bytes);
    let headers = block.headers();
    let mut cases = Cases::new();
    check_request(&block, &headers, &mut cases);
    check_reply(&block, &headers, &mut cases);
    check_event(&block, &headers, &mut cases);
    cases
}

fn check_request(block: &HeaderBlock, headers: &HeaderMap, cases: &mut Cases) {
    if let Err(status) = wire::read_request(Some(headers), block.payload.clone()) {
        assert_eq!(status.reason(), Some(Reason::ContentType));
        assert!(status.message().len() <= OWN_TEXT_LEN, "{status}");
        cases.insert("a content type that is not served");
    }
    let ids = CancelToken::read_all(&block.payload).collect::<Vec<_>>();
    assert!(ids.len() <= block.payload.len() / 16);
    for id in ids {
        check_cancel_id(id);
    }
    let request = match RequestHeaders::decode(Some(headers)) {
        Ok(request) => request,
        Err(status) => {
            let reasons = [Some(Reason::BadHeader), Some(Reason::WireVersion)];
            assert!(reasons.contains(&status.reason()), "{status}");
            assert!(status.message().len() <= OWN_TEXT_LEN + block.len());
            cases.insert("a request that is refused");
            return;
        }
    };
    if let Some(timeout) = request.timeout {
        assert!(timeout >= Duration::from_millis(1));
        let mut written = None;
        wire::encode_timeout(&mut written, timeout);
        let again = wire::decode_timeout(&written.unwrap_or_default());
        assert_eq!(again.ok(), Some(Some(timeout)));
        cases.insert("a call with a timeout");
    }
    if let Some(since) = request.expired {
        assert!(since > Duration::ZERO);
        cases.insert("a call that has expired");
    }
    if let Some(id) = request.cancel_id {
        check_cancel_id(id);
        cases.insert("a call that can be canceled");
    }
    if let Some(stream) = request.stream {
        check_stream(stream, request.timeout);
        cases.insert("a stream");
    }
    check_trace(headers, cases);
}

fn check_cancel_id(id: CancelToken) {
    let mut written = None;
    wire::encode_cancel(&mut written, Some(id));
    assert_eq!(CancelToken::of_request(written.as_ref(), None), Some(id));
    let payload = id.as_bytes().repeat(2);
    assert!(CancelToken::read_all(&payload).eq([id, id]));
}

/// Checks that a stream with these numbers begins, and that its times are within their bounds.
fn check_stream(stream: StreamHeader, timeout: Option<Duration>) {
    let again = StreamHeader::decode(&stream.encode());
    let written = StreamHeader {
        heartbeat: stream.heartbeat.max(Duration::from_secs(1)),
        length: if stream.is_unary { stream.length } else { 0 },
        ..stream
    };
    assert_eq!(again.ok(), Some(written));
    let options = StreamOptions::new().heartbeat(DAY * 2);
    let limits = options.limits_with(stream.heartbeat);
    assert!((Duration::from_secs(1)..=DAY).contains(&limits.heartbeat));
    let peer = StreamAddress {
        instance: "a1".to_owned(),
        stream: "7f".to_owned(),
    };
    let now = Instant::now();
    let deadline = timeout.map(|timeout| instant_after(now, timeout));
    let mut machine = Machine::server(peer, limits, stream.window, 1024, deadline, now);
    assert!(machine.output(now).is_some(), "ACCEPT is sent");
    let next = machine.next_time();
    machine.on_time(next.unwrap_or(now));
}

/// Checks that trace headers are within the limits of META-5, and forwarded as they are.
fn check_trace(headers: &HeaderMap, cases: &mut Cases) {
    let Some(trace) = wire::trace_headers(headers) else {
        return;
    };
    for (name, values) in trace.iter() {
        let known = TRACE.iter().find(|(known, _)| known == name);
        let max_len = known.map_or(0, |(_, max_len)| *max_len);
        assert!(values.iter().all(|value| value.as_str().len() <= max_len));
    }
    let mut written = None;
    wire::forward_trace(&mut written, Some(&trace));
    let again = wire::trace_headers(&written.unwrap_or_default());
    assert_eq!(again.as_ref(), Some(&trace));
    cases.insert("trace headers");
}

fn check_reply(block: &HeaderBlock, headers: &HeaderMap, cases: &mut Cases) {
    let is_failure = has_sign_of_failure(block);
    for format in formats() {
        let read = wire::read_reply(Some(headers), block.payload.clone(), format, "the reply");
        match read {
            Ok(payload) => {
                assert!(!is_failure, "a failure is read as a success");
                assert_eq!(payload, block.payload);
            }
            Err(status) if is_failure => {
                check_failure(&status, block.len());
                cases.insert("a failure");
                if !status.details().is_empty() {
                    cases.insert("a failure with details");
                }
            }
            Err(status) => {
                let reasons = [Some(Reason::ContentType), Some(Reason::NotAService)];
                assert!(reasons.contains(&status.reason()), "{status}");
            }
        }
    }
    let received = wire::decode_reply_metadata(Some(headers), "a.B.C");
    if let Some(flaw) = &received.flaw {
        assert_eq!(flaw.reason(), Some(Reason::BadHeader));
    }
    if continues_as_stream(Some(headers)) {
        check_offer(block, headers, cases);
    }
}

fn formats() -> Vec<PayloadFormat> {
    let protobuf = PayloadFormat::PROTOBUF;
    #[cfg(feature = "json")]
    let formats = vec![protobuf, PayloadFormat::JSON, protobuf.taking_any_reply()];
    #[cfg(not(feature = "json"))]
    let formats = vec![protobuf];
    formats
}

/// Returns whether a reply is a failure by FAIL-7: the same rule, written another way.
fn has_sign_of_failure(block: &HeaderBlock) -> bool {
    let values = |wanted: &'static str| {
        let named = block.lines.iter().filter(move |(name, _)| {
            let name: &str = name.as_ref();
            name.eq_ignore_ascii_case(wanted)
        });
        named.map(|(_, value)| value.as_str())
    };
    let mut codes = values("Micro-Status").chain(values("Nats-Service-Error-Code"));
    let has_no_code = codes.next().is_none();
    values("Micro-Status").any(|code| code != "0")
        || values("Nats-Service-Error-Code").any(|code| code != "200")
        || values("Nats-Service-Error").any(|text| has_no_code || !text.is_empty())
}

/// Checks that a failure is within its limits, and the same after it is written and read again.
fn check_failure(status: &Status, length: usize) {
    assert!(status.message().len() <= OWN_TEXT_LEN + 3 * length);
    assert!(status.details().len() <= DETAILS);
    let (headers, payload) = wire::encode_status(status);
    let again = read_failure(&headers, payload, PayloadFormat::PROTOBUF);
    assert_eq!(parts(&again), parts(status));
    assert_eq!(again.details(), status.details());
    #[cfg(feature = "json")]
    {
        let (headers, payload) = wire::encode_status_in_json(status, None);
        let again = read_failure(&headers, payload, PayloadFormat::JSON);
        assert_eq!(parts(&again), parts(status));
    }
    let end = wire::encode_end(&Err(status.clone()));
    let again = read_failure(&end, Bytes::new(), PayloadFormat::PROTOBUF);
    assert_eq!(again.code(), status.code());
    assert!(status.message().starts_with(again.message()));
}

fn read_failure(headers: &HeaderMap, payload: Bytes, format: PayloadFormat) -> Status {
    for value in headers.iter().flat_map(|(_, values)| values) {
        let text = value.as_str();
        assert!(text.len() <= OWN_TEXT_LEN, "{text}");
        assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
    }
    let read = wire::read_reply(Some(headers), payload, format, "the reply");
    read.err().unwrap_or_else(|| panic!("a failure is lost"))
}

fn parts(status: &Status) -> (crate::status::Code, &str, Option<Reason>) {
    (status.code(), status.message(), status.reason())
}

/// Checks what a reply offers that does not fit into one message.
fn check_offer(block: &HeaderBlock, headers: &HeaderMap, cases: &mut Cases) {
    let text = find(headers, &MICRO_STREAM).map_or("", |value| value.as_str());
    match StreamHeader::decode_offer(text, "a.B.C") {
        Ok(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let again = StreamHeader::decode_offer(&StreamHeader::encode_offer(length), "a.B.C");
            assert_eq!(again.ok(), u64::try_from(length).ok());
            cases.insert("an offer of a large reply");
        }
        Err(status) => {
            assert_eq!(status.reason(), Some(Reason::WireVersion));
            assert!(status.message().len() <= OWN_TEXT_LEN, "{status}");
        }
    }
    if let Ok(address) = StreamAddress::read(block.payload.clone()) {
        let again = StreamAddress::read(address.accept_frame());
        assert_eq!(again.ok(), Some(address));
        cases.insert("the address of a large reply");
    }
}

fn check_event(block: &HeaderBlock, headers: &HeaderMap, cases: &mut Cases) {
    let accepted = ContextHeaders::read_accepted(Some(headers));
    drop(accepted);
    if let Err(status) = wire::read_event(Some(headers), block.payload.clone()) {
        assert_eq!(status.reason(), Some(Reason::ContentType));
    }
    let message = Message {
        subject: "evt.a".into(),
        reply: None,
        payload: block.payload.clone(),
        headers: Some(headers.clone()),
        status: None,
        description: None,
        length: 0,
    };
    if let Some(made) = BrokerMessage::of(&message) {
        let text = made.to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
        cases.insert("a delete marker");
    }
}
