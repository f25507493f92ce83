//! Unit tests of `stored_message.rs`.

use super::*;

fn message(subject: &str, headers: &[u8]) -> StoredMessage {
    StoredMessage {
        sequence: 1,
        subject: subject.to_owned(),
        stored_ns: 0,
        headers: BASE64.encode(headers),
        payload: BASE64.encode("payload"),
    }
}

#[test]
fn flaws_are_those_at_which_async_nats_gives_up() {
    for (headers, flaw) in [
        (&b""[..], None),
        (b"NATS/1.0\r\na: b\r\n c\r\n\r\n", None),
        (b"NATS/1.0\r\na:b", None),
        (b"NATS/1.0\r\na: b\r\r\n\r\n", None),
        (b"NATS/1.0\r\na: b\rc\r\n\r\n", Some("carriage return")),
        (
            b"NATS/1.0\r\na: b\r\n c\rd\r\n\r\n",
            Some("carriage return"),
        ),
        (b"NATS/1.0 404 No Messages\r\n\r\n", None),
        (b"NATS/1.0\r\nkey: caf\xc3\xa9\r\n\r\n", None),
        (b"NATS/1.0 200\t x\r\n\r\n", None),
        (b"NATS", Some("begin with")),
        (b"HTTP/1.1 200\r\n\r\n", Some("begin with")),
        (b"NATS/1.0 2x0\r\n\r\n", Some("status")),
        (b"NATS/1.0\r\nno colon\r\n\r\n", Some("colon")),
        (b"NATS/1.0\r\na b: c\r\n\r\n", Some("name")),
        (b"NATS/1.0\r\ncl\xc3\xa9: x\r\n\r\n", Some("name")),
        (b"NATS/1.0\r\nkey: \xff\r\n\r\n", Some("UTF-8")),
    ] {
        let found = message("evt.a", headers).flaw();
        let is_expected = found.unwrap_or_default().contains(flaw.unwrap_or_default());
        assert!(
            is_expected && found.is_some() == flaw.is_some(),
            "{headers:?}: {found:?}"
        );
    }
    // JSON has this for what is no UTF-8, and for itself.
    assert!(message("evt.\u{fffd}", b"").flaw().is_none());
    let unreadable = StoredMessage {
        headers: "no base64!".to_owned(),
        ..message("evt.a", b"")
    };
    assert_eq!(unreadable.flaw(), None);
    assert!(message("evt.\u{a0}a", b"").flaw().is_none());
    assert!(
        message("evt.\u{a0}a", b"NATS/1.0\r\na:b\r\n\r\n")
            .flaw()
            .is_some()
    );
    assert_eq!(message("a", b"").payload(), "payload");
}
