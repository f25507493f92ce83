//! Golden bytes of the wire, those of docs/golden.json, and the reading of malformed input.

use prost_types::Any;

use std::time::Duration;

use async_nats::{HeaderMap, StatusCode};
use bytes::Bytes;

use crate::metadata::Metadata;
use crate::status::{Code, Reason, Status};
use crate::wire::codec::*;
use crate::wire::empty::encode_empty;
use crate::wire::golden::example;
use crate::wire::header::*;
use crate::wire::metadata::*;
use crate::wire::payload::*;
use crate::wire::percent::percent_decode;
use crate::wire::status::*;
use crate::wire::timeout::*;
use crate::wire::trace::*;

fn header_lines(headers: &HeaderMap) -> Vec<String> {
    let mut lines = headers
        .iter()
        .flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            values.iter().map(move |value| format!("{name}: {value}"))
        })
        .collect::<Vec<_>>();
    lines.sort();
    lines
}

#[test]
fn a_failure_has_its_golden_headers_and_bytes() {
    let check = |name: &str, status: Status| {
        let (headers, payload) = encode_status(&status);
        example(name).check(Some(&headers), &payload);
        let read = decode_status(&headers, &payload).unwrap();
        assert_eq!(
            (read.code(), read.message(), read.reason()),
            (status.code(), status.message(), status.reason())
        );
        assert!(read.details().is_empty());
    };
    check("failure_of_a_handler", Status::not_found("no account 7"));
    check("failure_of_the_runtime", Reason::Overloaded.status("busy"));
    let text = "a\r\nb 100 % \u{263a}";
    check("failure_with_escaped_text", Status::not_found(text));
    // Without the mark of the runtime it is the failure of a handler.
    let handler = encode_status(&Status::resource_exhausted("busy"));
    assert_eq!(
        decode_status(&handler.0, &handler.1).unwrap().reason(),
        None
    );
}

#[test]
fn a_message_that_is_too_large_has_its_own_service_error_code() {
    let status = Reason::TooLarge.status("2 MiB");
    let lines = header_lines(&encode_status(&status).0);
    assert!(lines.contains(&"Nats-Service-Error-Code: 413".to_owned()));
}

#[test]
fn every_code_and_text_is_read_back_byte_for_byte() {
    let texts = [
        "",
        " padded ",
        "100 % \"sure\"",
        "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n",
        "%41 is no escape here",
        "\0",
    ];
    for number in 1..=16 {
        let code = Code::from_number(number).unwrap();
        for text in texts {
            let (headers, payload) = encode_status(&Status::new(code, text));
            let read = decode_status(&headers, &payload).unwrap();
            assert_eq!((read.code(), read.message()), (code, text));
            // A tool that reads the header alone sees the same text.
            assert_eq!(
                percent_decode(headers.get(SERVICE_ERROR).unwrap().as_str()),
                text
            );
        }
    }
}

#[test]
fn the_text_in_the_header_is_cut_between_characters() {
    let text = "\u{263a}".repeat(100);
    let (headers, payload) = encode_status(&Status::internal(text.clone()));
    let header = headers.get(SERVICE_ERROR).unwrap().as_str();
    assert!(header.len() <= MAX_HEADER_TEXT_LEN);
    assert_eq!(percent_decode(header), "\u{263a}".repeat(56));
    assert_eq!(decode_status(&headers, &payload).unwrap().message(), text);
}

#[test]
fn a_failure_with_the_headers_of_adr_32_alone_is_read_by_its_number() {
    let golden = example("failure_of_adr_32");
    let status = decode_status(&golden.headers(), &golden.payload()).unwrap();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "no such thing")
    );
    let check = |number: &str, expected: Option<Code>| {
        let mut headers = HeaderMap::new();
        headers.insert(SERVICE_ERROR_CODE, number);
        headers.insert(SERVICE_ERROR, "why");
        let read = decode_status(&headers, &Bytes::from_static(b"free text"));
        assert_eq!(read.as_ref().map(Status::code), expected, "{number}");
        if let Some(status) = read {
            assert_eq!(status.message(), "why");
        }
    };
    check("200", Some(Code::Unknown));
    check("400", Some(Code::InvalidArgument));
    check("401", Some(Code::Unauthenticated));
    check("403", Some(Code::PermissionDenied));
    check("404", Some(Code::NotFound));
    check("409", Some(Code::AlreadyExists));
    check("429", Some(Code::ResourceExhausted));
    check("499", Some(Code::Canceled));
    check("500", Some(Code::Internal));
    check("501", Some(Code::Unimplemented));
    check("503", Some(Code::Unavailable));
    check("504", Some(Code::DeadlineExceeded));
    check("418", Some(Code::Unknown));
    check("-1", Some(Code::Unknown));
    check("what", Some(Code::Unknown));
}

#[test]
fn details_are_read_back() {
    let detail = Any {
        type_url: "type.googleapis.com/acme.Hint".to_owned(),
        value: vec![1, 2, 3],
    };
    let status = Status::aborted("again").with_details([detail.clone()]);
    let (headers, payload) = encode_status(&status);
    assert_eq!(
        decode_status(&headers, &payload).unwrap().details(),
        [detail]
    );
}

#[test]
fn metadata_is_read_back() {
    let mut metadata = Metadata::new();
    metadata.append("trail", "1").unwrap();
    metadata.append("trail", "2").unwrap();
    metadata.append("blob-bin", [0xab, 0xab, 0xab]).unwrap();
    let mut headers = None;
    encode_metadata(&mut headers, &metadata);
    let headers = headers.unwrap();
    example("request_with_metadata").check(Some(&headers), b"");
    let read = decode_metadata(&headers).unwrap();
    assert_eq!(read.get_all("trail").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(read.get_bytes("blob-bin"), Some(&[0xab, 0xab, 0xab][..]));
}

#[test]
fn a_stream_by_hand_has_its_golden_headers() {
    example("by_hand_empty_message").check(Some(&encode_empty()), b"");
    let end = header_lines(&encode_end(&Ok(())));
    assert_eq!(end, ["Micro-Status: 0"]);
}

#[test]
fn no_metadata_makes_no_headers() {
    let mut headers = None;
    encode_metadata(&mut headers, &Metadata::new());
    assert!(headers.is_none());
}

#[test]
fn headers_of_the_protocol_are_no_metadata() {
    let (mut headers, _) = encode_status(&Status::internal("x"));
    headers.insert("traceparent", "00-1-2-01");
    headers.insert("Content-Type", "application/json");
    headers.insert("not~legal", "x");
    assert!(decode_metadata(&headers).unwrap().is_empty());
}

#[test]
fn capitals_in_a_name_of_metadata_become_small_letters() {
    let mut headers = HeaderMap::new();
    headers.insert("Tenant", "acme");
    headers.insert("X-Key-Bin", "q6ur");
    headers.insert("MICRO-STATUS", "5");
    headers.insert("Content-type", "x");
    let metadata = decode_metadata(&headers).unwrap();
    assert_eq!(metadata.get("tenant"), Some("acme"));
    assert_eq!(metadata.get_bytes("x-key-bin"), Some(&[0xab; 3][..]));
    assert_eq!(metadata.iter().count(), 2);
}

#[test]
fn headers_are_read_in_any_case() {
    let failure = |name: &str, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value);
        decode_status(&headers, &Bytes::new())
    };
    for name in ["Micro-Status", "micro-status", "MICRO-STATUS"] {
        assert_eq!(failure(name, "5").unwrap().code(), Code::NotFound, "{name}");
        assert!(failure(name, "0").is_none(), "{name}");
    }
    for name in ["Nats-Service-Error-Code", "nats-service-error-code"] {
        assert_eq!(
            failure(name, "404").unwrap().code(),
            Code::NotFound,
            "{name}"
        );
        assert!(failure(name, "200").is_none(), "{name}");
    }
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json");
    headers.insert("micro-timeout", "250");
    headers.insert("micro-stream", "v=2");
    let (format, _) = read_request(Some(&headers), Bytes::new()).unwrap();
    assert!(format.is_json());
    assert_eq!(
        decode_timeout(&headers).unwrap(),
        Some(Duration::from_millis(250))
    );
    assert!(continues_as_stream(Some(&headers)));
    headers.insert("TraceParent", "00-1-2-01");
    let trace = trace_headers(&headers).unwrap();
    assert_eq!(header_lines(&trace), ["traceparent: 00-1-2-01"]);
}

#[test]
fn a_code_that_is_none_is_unknown_and_quoted() {
    for (value, shown) in [
        ("seven", "seven"),
        ("+5", "+5"),
        ("-1", "-1"),
        ("99", "99"),
        ("", ""),
    ] {
        for name in [MICRO_STATUS, SERVICE_ERROR_CODE] {
            if name == SERVICE_ERROR_CODE && value == "99" {
                continue;
            }
            let mut headers = HeaderMap::new();
            headers.insert(name.clone(), value);
            let status = decode_status(&headers, &Bytes::new()).unwrap();
            assert_eq!(status.code(), Code::Unknown, "{name}: {value}");
            let expected = format!("`{name}: {shown}`");
            assert!(status.message().contains(&expected), "{status}");
        }
    }
}

#[test]
fn a_status_of_nats_is_no_reply_of_a_service() {
    let status = not_a_reply(
        StatusCode::from_u16(409).unwrap(),
        Some("Leadership Change"),
    );
    assert_eq!(
        (status.code(), status.reason()),
        (Code::Internal, Some(Reason::NotAService))
    );
    assert!(
        status.message().contains("409 Leadership Change"),
        "{status}"
    );
}

#[test]
fn malformed_base64_is_rejected_with_the_name_of_the_header() {
    let mut headers = HeaderMap::new();
    headers.insert("blob-bin", "q6u");
    let status = decode_metadata(&headers).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("blob-bin"), "{status}");
}

#[test]
fn timeouts_are_whole_milliseconds_of_at_least_one() {
    let check = |left: Duration, expected: &str| {
        let mut headers = None;
        encode_timeout(&mut headers, left);
        assert_eq!(header_lines(&headers.unwrap()), [expected]);
    };
    check(Duration::from_secs(1), "Micro-Timeout: 1000");
    check(Duration::from_micros(1_999), "Micro-Timeout: 1");
    let golden = example("request_with_timeout");
    check(
        Duration::from_micros(1_999),
        &format!("Micro-Timeout: {}", golden.header("Micro-Timeout")),
    );
    check(Duration::ZERO, "Micro-Timeout: 1");

    let read = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(MICRO_TIMEOUT, value);
        decode_timeout(&headers)
    };
    assert_eq!(read("250").unwrap(), Some(Duration::from_millis(250)));
    for bad in [
        "0",
        "-1",
        "+5",
        " 5",
        "1.5",
        "5s",
        "",
        "99999999999999999999999",
    ] {
        assert_eq!(
            read(bad).unwrap_err().code(),
            Code::InvalidArgument,
            "{bad}"
        );
    }
}

#[test]
fn an_acknowledgment_of_jetstream_is_no_reply() {
    for ack in [
        r#"{"stream":"ORDERS", "seq":1}"#,
        r#"{"seq":7,"domain":"eu","stream":"ORDERS","duplicate":true}"#,
    ] {
        let status = decode_reply::<RpcStatus>(ack.into(), "x.Y").unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.reason(), Some(Reason::NotAService));
        assert!(status.message().contains("stream `ORDERS`"), "{status}");
    }
    for other in [
        r#"{"stream":"ORDERS"}"#,
        r#"{"stream":1,"seq":1}"#,
        "{",
        "[1]",
    ] {
        let status = decode_reply::<RpcStatus>(other.into(), "x.Y").unwrap_err();
        assert_eq!(status.reason(), Some(Reason::Undecodable), "{other}");
    }
}

#[test]
fn a_payload_is_announced_only_if_it_is_not_plain_protobuf() {
    let payload = Bytes::from_static(b"\x0a\x02hi");
    let mut headers = None;
    let written = write_payload(&mut headers, PayloadFormat::default(), payload.clone());
    assert_eq!((written, headers), (payload.clone(), None));
    let read = read_request(None, payload.clone()).unwrap();
    assert_eq!(read, (PayloadFormat::default(), payload.clone()));
    assert_eq!(
        read_reply(None, payload.clone(), PayloadFormat::PROTOBUF, "x").unwrap(),
        payload
    );
    assert_eq!(read_event(None, payload.clone()).unwrap(), payload);
}

#[test]
fn content_types_that_are_not_read_are_rejected() {
    let check = |content_type: &str, of_request: Option<bool>, is_event: bool| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type);
        let request = read_request(Some(&headers), Bytes::new());
        let is_json = request.as_ref().ok().map(|(format, _)| format.is_json());
        assert_eq!(is_json, of_request, "{content_type}");
        let event = read_event(Some(&headers), Bytes::new());
        assert_eq!(event.is_ok(), is_event, "{content_type}");
        for status in [request.err(), event.err()].into_iter().flatten() {
            assert_eq!(status.reason(), Some(Reason::ContentType));
        }
    };
    check("application/protobuf", Some(false), true);
    check("application/x-protobuf", Some(false), true);
    check("application/json", Some(true), false);
    check("Application/JSON ; charset=UTF-8", Some(true), false);
    check("application/json; charset=latin1", None, false);
    check("text/plain", None, false);
    check("", None, false);
}

#[cfg(feature = "json")]
#[test]
fn json_is_announced_in_messages_and_not_in_frames() {
    let mut headers = None;
    write_payload(&mut headers, PayloadFormat::JSON, Bytes::new());
    assert_eq!(
        header_lines(&headers.unwrap()),
        ["Content-Type: application/json"]
    );
    let mut headers = None;
    write_payload(&mut headers, PayloadFormat::JSON.of_frames(), Bytes::new());
    assert_eq!(headers, None);
}
