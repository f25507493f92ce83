//! Tests of reading nats-server's texts: each form, and texts in which a subject looks like another form.

use super::*;

fn subscription(subject: &str, queue: Option<&str>) -> Refusal {
    Refusal::Subscription {
        subject: subject.to_owned(),
        queue: queue.map(str::to_owned),
    }
}

#[test]
fn every_form_is_read() {
    let publish = |subject: &str| Refusal::Publish(subject.to_owned());
    let cases = [
        (
            r#"Permissions Violation for Publish to "a.B.C""#,
            publish("a.B.C"),
        ),
        (
            r#"Permissions Violation for Publish to "$NRG.x""#,
            publish("$NRG.x"),
        ),
        (
            r#"Permissions Violation for Publish with Reply of "_R_.x""#,
            Refusal::ReplySubject("_R_.x".to_owned()),
        ),
        (
            r#"Permissions Violation for Subscription to "$SRV.PING""#,
            subscription("$SRV.PING", None),
        ),
        (
            r#"Permissions Violation for Subscription to "a.B.C" using queue "q""#,
            subscription("a.B.C", Some("q")),
        ),
        (
            r#"Permissions Violation for Subscription to "a.b.c.d", too many tokens"#,
            subscription("a.b.c.d", None),
        ),
        (
            r#"Permissions Violation for Subscription to "a.B.C" (sid "12")"#,
            Refusal::Revoked("a.B.C".to_owned()),
        ),
        (
            r#"Permissions Violation for Subscription to "a.B.C" using queue "q" (sid "12")"#,
            subscription("a.B.C", Some("q")),
        ),
        ("maximum subscriptions exceeded", Refusal::SubscriptionLimit),
        ("Invalid Subject", Refusal::InvalidSubject),
    ];
    for (text, expected) in cases {
        assert_eq!(Refusal::parse(text), expected, "{text}");
    }
}

#[test]
fn any_other_text_is_kept_as_it_is() {
    for text in [
        "",
        "Maximum Payload Violation",
        "Permissions Violation",
        r#"Permissions Violation for Publish to "a" and more"#,
        r#"Permissions Violation for Publish to "a"#,
        "Permissions Violation for Publish to a",
        r#"Permissions Violation for Subscription to "a" using queue q"#,
        r#"Permissions Violation for Subscription to "a" (sid "1""#,
        r#"Permissions Violation for Publish to "\q""#,
        r#"Permissions Violation for Publish to "\x1""#,
        r#"Permissions Violation for Publish to "\x+1""#,
        r#"Permissions Violation for Publish to "\u+0e4""#,
        r#"Permissions Violation for Publish to "\U+001F600""#,
        r#"Permissions Violation for Publish to "\ud800""#,
        r#" Permissions Violation for Publish to "a""#,
        r#"x: Permissions Violation for Publish to "a""#,
    ] {
        assert_eq!(Refusal::parse(text), Refusal::Other(text.to_owned()));
    }
}

#[test]
fn quotes_are_those_of_go() {
    let cases = [
        (r"a\tb\n\r\a\b\f\v", "a\tb\n\r\u{7}\u{8}\u{c}\u{b}"),
        (r#"a\"b\\c"#, "a\"b\\c"),
        (r"\u00e4\U0001F600\x7f", "ä😀\u{7f}"),
        (r"\xc3\xa4", "ä"),
        ("straße.東京", "straße.東京"),
    ];
    for (quoted, expected) in cases {
        let text = format!("Permissions Violation for Publish to \"{quoted}\"");
        assert_eq!(Refusal::parse(&text), Refusal::Publish(expected.to_owned()));
    }
}

/// The publisher chooses the subject, so it may hold the text of another refusal.
#[test]
fn a_subject_cannot_pass_for_the_text_around_it() {
    let served = "a.B.C";
    let forged = format!("x\" Permissions Violation for Subscription to \"{served}");
    let quoted = forged.replace('"', "\\\"");
    let text = format!("Permissions Violation for Publish to \"{quoted}\"");
    let refusal = Refusal::parse(&text);
    assert_eq!(refusal, Refusal::Publish(forged));
    assert!(!refusal.is_of_subscription(served, None));
    assert!(!refusal.is_of_publish(served));

    let text =
        r#"Permissions Violation for Publish to "Subscription to \"a.B.C\" using queue \"q\"""#;
    assert!(!Refusal::parse(text).is_of_subscription(served, Some("q")));
    let text = r#"Permissions Violation for Subscription to "x\" using queue \"q" using queue "r""#;
    assert_eq!(
        Refusal::parse(text),
        subscription(r#"x" using queue "q"#, Some("r"))
    );
}

#[test]
fn whole_subjects_are_compared() {
    let text = r#"Permissions Violation for Subscription to "a.B.C" using queue "q""#;
    let refusal = Refusal::parse(text);
    assert!(refusal.is_of_subscription("a.B.C", Some("q")));
    for (subject, queue) in [
        ("a.B", Some("q")),
        ("a.B.C", None),
        ("a.B.C", Some("q2")),
        ("a.B.C.D", Some("q")),
    ] {
        assert!(!refusal.is_of_subscription(subject, queue), "{subject}");
    }
    assert!(!refusal.is_of_publish("a.B.C"));
}

#[test]
fn errors_tell_publish_from_subscribe_and_name_subject_and_permission() {
    let publish = publish_refused("a.B.C");
    assert_eq!(publish.code(), Code::PermissionDenied);
    assert_eq!(publish.reason(), Some(Reason::NotPermitted));
    let text = publish.message();
    assert!(text.contains("publish to `a.B.C`") && text.contains("`publish: \"a.B.>\"`"));

    let error = subscription("a.B.C", Some("q")).error();
    assert_eq!(error.kind(), ErrorKind::Permission);
    let text = error.to_string();
    assert!(
        text.contains("subscribe to `a.B.C` in queue group `q`"),
        "{text}"
    );
    assert!(text.contains("`subscribe: \"a.B.* q\"`"), "{text}");

    let limit = Refusal::SubscriptionLimit.status();
    assert_eq!(limit.code(), Code::ResourceExhausted);
    let inbox = inbox_refused(&Subject::from("_INBOX.x.r"));
    for part in [
        "subscribe",
        "_INBOX.x.r",
        "`subscribe: \"_INBOX.x.>\"`",
        "NATS_INBOX_PREFIX",
        "inbox_prefix",
    ] {
        assert!(inbox.message().contains(part), "{inbox}");
    }
}
