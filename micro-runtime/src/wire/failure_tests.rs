//! Which replies are failures, and of which code: every combination of headers that a careless peer writes.

use async_nats::HeaderMap;
use bytes::Bytes;

use crate::status::Code;
use crate::wire::encode_status;
use crate::wire::status::decode_status;

/// Outcome of a reply with these headers and no payload: `None` for a success.
fn outcome(headers: &[(&str, &str)], payload: &[u8]) -> Option<(Code, String)> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, *value);
    }
    let status = decode_status(&map, &Bytes::copy_from_slice(payload))?;
    Some((status.code(), status.message().to_owned()))
}

const STATUS: &str = "Micro-Status";
const CODE: &str = "Nats-Service-Error-Code";
const TEXT: &str = "Nats-Service-Error";

#[track_caller]
fn check(headers: &[(&str, &str)], expected: Option<(Code, &str)>) {
    let found = outcome(headers, b"");
    let found = found.as_ref().map(|(code, text)| (*code, text.as_str()));
    assert_eq!(found, expected, "{headers:?}");
}

#[test]
fn no_header_and_the_codes_of_success_without_a_text_are_successes() {
    check(&[], None);
    check(&[("other", "5")], None);
    check(&[(STATUS, "0")], None);
    check(&[(STATUS, " 0 ")], None);
    check(&[(CODE, "200")], None);
    check(&[(STATUS, "0"), (CODE, "200"), (TEXT, "")], None);
    check(&[(CODE, "200"), (TEXT, "")], None);
}

#[test]
fn a_code_alone_or_a_text_alone_is_a_failure() {
    check(
        &[(STATUS, "5")],
        Some((
            Code::NotFound,
            "the reply has `Micro-Status: 5` and no text",
        )),
    );
    check(&[(STATUS, "5"), (TEXT, "")], Some((Code::NotFound, "")));
    check(
        &[(CODE, "404"), (TEXT, "gone")],
        Some((Code::NotFound, "gone")),
    );
    check(
        &[(CODE, "404")],
        Some((
            Code::NotFound,
            "the reply has `Nats-Service-Error-Code: 404` and no text",
        )),
    );
    check(
        &[(TEXT, "division by zero")],
        Some((Code::Unknown, "division by zero")),
    );
    check(&[(TEXT, "a%0Ab")], Some((Code::Unknown, "a\nb")));
    check(
        &[(TEXT, "")],
        Some((
            Code::Unknown,
            "the reply has an empty `Nats-Service-Error` and no code",
        )),
    );
}

#[test]
fn a_code_that_is_none_or_not_known_is_unknown() {
    for code in [
        "",
        "NaN",
        "undefined",
        "-1",
        "+404",
        "4 04",
        "404.0",
        "99999999999999999999",
        "0404",
        "05",
        "0x5",
        "5,5",
    ] {
        check(&[(CODE, code), (TEXT, "no")], Some((Code::Unknown, "no")));
        check(&[(STATUS, code), (TEXT, "no")], Some((Code::Unknown, "no")));
    }
    for code in ["0", "1", "201", "204", "302", "418", "999"] {
        check(&[(CODE, code), (TEXT, "no")], Some((Code::Unknown, "no")));
    }
    for code in ["17", "200", "404"] {
        check(&[(STATUS, code), (TEXT, "no")], Some((Code::Unknown, "no")));
    }
}

#[test]
fn a_success_is_written_in_one_way() {
    for value in [
        "00", "000", "+0", "-0", "0.0", "0x0", "0 0", "0,", "0;", "٠", "zero", "OK", "ok", "null",
    ] {
        let text = format!("the reply has `Micro-Status: {value}`, which is no code");
        let found = outcome(&[(STATUS, value)], b"").unwrap();
        assert_eq!(found.0, Code::Unknown, "{value}");
        assert!(found.1 == text || !value.is_ascii(), "{}", found.1);
    }
    for value in ["0200", "00200", "+200", "200.0", "0", "00", "200 OK"] {
        let found = outcome(&[(CODE, value)], b"").unwrap();
        assert_eq!(found.0, Code::Unknown, "{value}");
    }
}

#[test]
fn of_headers_that_contradict_each_other_the_failure_counts() {
    check(
        &[(CODE, "200"), (TEXT, "but no")],
        Some((Code::Unknown, "but no")),
    );
    check(
        &[(STATUS, "0"), (TEXT, "but no")],
        Some((Code::Unknown, "but no")),
    );
    check(
        &[(STATUS, "0"), (CODE, "500"), (TEXT, "no")],
        Some((Code::Internal, "no")),
    );
    check(
        &[(STATUS, "0"), (CODE, ""), (TEXT, "no")],
        Some((Code::Unknown, "no")),
    );
    check(
        &[(STATUS, "5"), (CODE, "200"), (TEXT, "no")],
        Some((Code::NotFound, "no")),
    );
    check(
        &[(STATUS, "5"), (CODE, "500"), (TEXT, "no")],
        Some((Code::NotFound, "no")),
    );
    check(
        &[(STATUS, "seven"), (CODE, "404"), (TEXT, "no")],
        Some((Code::Unknown, "no")),
    );
}

#[test]
fn of_repeated_headers_the_first_that_is_a_failure_counts() {
    check(
        &[(STATUS, "0"), (STATUS, "5"), (TEXT, "no")],
        Some((Code::NotFound, "no")),
    );
    check(
        &[(STATUS, "5"), (STATUS, "7"), (TEXT, "no")],
        Some((Code::NotFound, "no")),
    );
    check(
        &[(CODE, "200"), (CODE, "403"), (TEXT, "no")],
        Some((Code::PermissionDenied, "no")),
    );
    check(
        &[(STATUS, "0"), ("micro-status", "5"), (TEXT, "no")],
        Some((Code::NotFound, "no")),
    );
    check(
        &[
            (CODE, "200"),
            ("NATS-SERVICE-ERROR-CODE", "403"),
            ("nats-service-error", "no"),
        ],
        Some((Code::PermissionDenied, "no")),
    );
}

#[test]
fn the_payload_of_a_failure_counts_only_if_it_is_the_same_failure() {
    let (_, body) = encode_status(&crate::Status::not_found("the whole text"));
    let header = |code: &'static str| {
        [
            ("Nats-Service-Error-Code", code),
            ("Nats-Service-Error", "short"),
        ]
    };
    let message = |headers: &[(&str, &str)], payload: &[u8]| outcome(headers, payload).unwrap();
    let whole = (Code::NotFound, "the whole text".to_owned());
    assert_eq!(message(&header("404"), &body), whole);
    assert_eq!(message(&[("Micro-Status", "5")], &body), whole);
    for payload in [&b""[..], b"free text", b"\x0a\x02hi", b"\xff", b"{}"] {
        let expected = (Code::NotFound, "short".to_owned());
        assert_eq!(message(&header("404"), payload), expected, "{payload:?}");
    }
    // A failure of another code, or without one, is not that of the headers.
    assert_eq!(
        message(&header("500"), &body),
        (Code::Internal, "short".to_owned())
    );
    let text = [("Nats-Service-Error", "short")];
    assert_eq!(message(&text, &body), (Code::Unknown, "short".to_owned()));
}

#[cfg(feature = "json")]
#[test]
fn details_in_json_are_read_up_to_their_limit() {
    let details = [r#"{"@type":"a/b.C","value":"AA=="}"#; 1_025].join(",");
    let json = format!(r#"{{"code":5,"message":"no","details":[{details}]}}"#);
    let mut headers = HeaderMap::new();
    headers.insert(STATUS, "5");
    headers.insert("Content-Type", "application/json");
    let status = decode_status(&headers, &Bytes::from(json)).unwrap();
    assert_eq!((status.message(), status.details().len()), ("no", 1_024));
}
