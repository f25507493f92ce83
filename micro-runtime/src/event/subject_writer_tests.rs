//! Tests of subjects: the table of "Events" in docs/PROTOCOL.md, and subjects parsed back.

use proptest::prelude::*;

use bytes::BytesMut;

use crate::descriptor::{EventDescriptor, EventField};
use crate::event::{Fixed, SubjectWriter};
use crate::status::{Code, Status};
use crate::subject::MAX_SUBJECT_LEN;

static DEMO: EventDescriptor = EventDescriptor::new(
    "demo.v1.Demo",
    "evt.demo.{text}.{side}",
    &[
        EventField::new("text"),
        EventField::of_enum("side", &[(0, "SIDE_UNSPECIFIED"), (1, "BUY")]),
    ],
);

/// Writes a subject as generated code does.
fn subject(text: &str, side: i32) -> Result<String, Status> {
    let mut buffer = BytesMut::new();
    let mut subject = SubjectWriter::new(&DEMO, &mut buffer);
    subject.literal("evt.demo.");
    subject.text(0, text);
    subject.literal(".");
    subject.number(1, side);
    subject.finish()?;
    Ok(String::from_utf8(buffer.to_vec()).unwrap())
}

/// Holds each row of the table in docs/PROTOCOL.md.
#[test]
fn values_are_escaped_as_in_the_protocol() {
    let page = include_str!("../../../docs/PROTOCOL.md");
    for (value, token) in [
        ("BTC-USD", "BTC-USD"),
        ("a_b~c", "a_b~c"),
        ("a.b", "a%2Eb"),
        ("*", "%2A"),
        (">", "%3E"),
        ("a b", "a%20b"),
        ("50%", "50%25"),
        ("%", "%25"),
        ("", "%"),
        ("\r\n", "%0D%0A"),
        ("$SRV", "%24SRV"),
        ("Zürich", "Z%C3%BCrich"),
        ("東", "%E6%9D%B1"),
    ] {
        let found = subject(value, 1).unwrap();
        assert_eq!(found, format!("evt.demo.{token}.BUY"), "{value:?}");
        assert_eq!(DEMO.parse(&found).unwrap()[0], value);
        let row = match value {
            "" => "| (empty) | `%` |".to_owned(),
            "\r\n" => "| CR LF | `%0D%0A` |".to_owned(),
            value => format!("| `{value}` | `{token}` |"),
        };
        assert!(page.contains(&row), "docs/PROTOCOL.md lacks {row}");
    }
}

#[test]
fn too_long_values_and_unknown_enum_numbers_are_rejected() {
    assert!(subject(&"x".repeat(128), 1).is_ok());
    for (text, side, part) in [
        (
            "x".repeat(129),
            1,
            "field `text` of demo.v1.Demo takes 129 bytes",
        ),
        (".".repeat(43), 1, "takes 129 bytes"),
        ("x".to_owned(), 7, "field `side` of demo.v1.Demo is 7"),
    ] {
        let status = subject(&text, side).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(part), "{status}");
    }
}

#[test]
fn a_subject_that_nats_does_not_take_is_rejected() {
    let check = |prefix: usize, is_right: bool| {
        let mut buffer = BytesMut::from("of another event");
        let mut subject = SubjectWriter::new(&DEMO, &mut buffer);
        subject.literal(&"p".repeat(prefix));
        subject.text(0, "x");
        let finished = subject.finish();
        assert_eq!(finished.is_ok(), is_right, "{prefix}");
        if let Err(status) = finished {
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().contains("takes 3073 bytes"), "{status}");
        }
    };
    check(MAX_SUBJECT_LEN - 1, true);
    check(MAX_SUBJECT_LEN, false);
}

#[test]
fn subjects_that_do_not_match_the_template_are_not_parsed() {
    for subject in [
        "",
        "evt.demo.a",
        "evt.demo.a.b.c",
        "evt.other.a.b",
        "evt.demo..b",
        "evt.demo.%2.b",
        "evt.demo.%ZZ.b",
        "evt.demo.%FF.b",
        "evt.demo.%+1.b",
    ] {
        assert_eq!(DEMO.parse(subject), None, "{subject}");
    }
}

#[test]
fn open_fields_of_a_filter_are_wildcards() {
    let mut fixed = Fixed::new(&DEMO);
    assert_eq!(fixed.pattern().unwrap(), "evt.demo.*.*");
    fixed.text(0, "*");
    assert_eq!(fixed.pattern().unwrap(), "evt.demo.%2A.*");
    fixed.number(1, 9);
    assert_eq!(fixed.pattern().unwrap_err().code(), Code::InvalidArgument);
}

proptest! {
    #[test]
    fn any_text_stays_within_its_token(text in ".{0,40}") {
        if let Ok(subject) = subject(&text, 0) {
            prop_assert_eq!(subject.split('.').count(), 4);
            prop_assert!(subject.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*' && byte != b'>'));
            prop_assert_eq!(&DEMO.parse(&subject).unwrap()[0], &text);
        }
    }
}
