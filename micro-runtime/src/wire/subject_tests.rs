//! Golden subjects: the same that docs/PROTOCOL.md shows.

use async_nats::Subject;

use crate::wire::subject::*;

fn check(subject: &Subject, expected: &str) {
    assert_eq!(subject.as_str(), expected);
}

#[test]
fn subjects_of_a_service_begin_with_its_base() {
    let base = ServiceBase::new(None, "greeter.v1.Greeter");
    check(&base.method("SayHello"), "greeter.v1.Greeter.SayHello");
    check(&base.schema(), "greeter.v1.Greeter._schema");
    check(&base.health(), "greeter.v1.Greeter._health");
    check(
        &base.instance_method("A1", "SayHello"),
        "greeter.v1.Greeter._i.A1.SayHello",
    );
    check(&base.instance_pattern("A1"), "greeter.v1.Greeter._i.A1.>");
    check(
        &base.broadcast_method("SayHello"),
        "greeter.v1.Greeter._i._all.SayHello",
    );
    check(&base.broadcast_pattern(), "greeter.v1.Greeter._i._all.>");
    check(
        &base.upstream("A1", "7f"),
        "greeter.v1.Greeter._i.A1._up.7f",
    );
    assert_eq!(base.to_string(), "greeter.v1.Greeter.");
}

#[test]
fn the_prefix_of_the_bus_stands_before_calls_and_events() {
    let base = ServiceBase::new(Some("eu.staging"), "Greeter");
    check(&base.method("SayHello"), "eu.staging.Greeter.SayHello");
    check(&with_prefix(Some("eu"), "evt.a"), "eu.evt.a");
    check(&with_prefix(None, "evt.a"), "evt.a");
}

#[test]
fn a_message_for_one_instance_is_for_a_method_a_stream_or_introspection() {
    let base = ServiceBase::new(Some("eu"), "a.v1.A");
    let check = |subject: &str, expected: Option<InstanceTarget<'_>>| {
        assert_eq!(base.instance_target("x", subject), expected, "{subject}");
    };
    check("eu.a.v1.A._i.x.Go", Some(InstanceTarget::Method("Go")));
    check(
        "eu.a.v1.A._i.x.Go.On",
        Some(InstanceTarget::Method("Go.On")),
    );
    check("eu.a.v1.A._i.x._up.7", Some(InstanceTarget::Stream("7")));
    check("eu.a.v1.A._i.x._up", Some(InstanceTarget::Method("_up")));
    check("eu.a.v1.A._i.x._schema", Some(InstanceTarget::Schema));
    check("eu.a.v1.A._i.x._health", Some(InstanceTarget::Health));
    check("eu.a.v1.A._i.xy.Go", None);
    check("eu.a.v1.A._i.y.Go", None);
    check("eu.a.v1.A.Go", None);
    check("a.v1.A._i.x.Go", None);
}

#[test]
fn messages_for_all_instances_name_a_method() {
    let base = ServiceBase::new(None, "a.v1.A");
    let check = |subject: &str, expected: Option<&str>| {
        assert_eq!(base.broadcast_target(subject), expected, "{subject}");
    };
    check("a.v1.A._i._all.Go", Some("Go"));
    check("a.v1.A._i.x.Go", None);
    check("a.v1.A.Go", None);
}

#[test]
fn queries_and_lifecycle_events_are_those_of_adr_32() {
    check(&Verb::Ping.subject(SERVICE_API, None, None), "$SRV.PING");
    check(
        &Verb::Info.subject(SERVICE_API, Some("a"), None),
        "$SRV.INFO.a",
    );
    check(
        &Verb::Stats.subject("x.SRV", Some("a"), Some("1")),
        "x.SRV.STATS.a.1",
    );
    check(&lifecycle_event(SERVICE_API, "a", "1"), "$SRV._EVENT.a.1");
    check(&lifecycle_pattern(SERVICE_API, None), "$SRV._EVENT.>");
    check(
        &lifecycle_pattern(SERVICE_API, Some("a")),
        "$SRV._EVENT.a.*",
    );
}

#[test]
fn only_an_instances_own_subject_carries_its_lifecycle_events() {
    let check = |subject: &str, expected: bool| {
        assert_eq!(
            is_lifecycle_event_of(subject, "a", "1"),
            expected,
            "{subject}"
        );
    };
    check("$SRV._EVENT.a.1", true);
    check("x.SRV._EVENT.a.1", true);
    check("$SRV._EVENT.b.1", false);
    check("$SRV._EVENT.a.2", false);
    check("$SRV.X_EVENT.a.1", false);
    check("$SRV._EVENT.aa.1", false);
    check("_EVENT.a.1", false);
    check("", false);
}

#[test]
fn a_reply_subject_names_one_use_of_a_slot() {
    check(&reply_pattern("_INBOX.x"), "_INBOX.x.*");
    let subject = reply(&mut BytesMut::new(), "_INBOX.x", 255, 16);
    check(&subject, "_INBOX.x.AAAA_wAAAAAAAAAQ");
    assert_eq!(subject.len(), reply_len("_INBOX.x"));
    for prefix in REPLY_PREFIXES {
        assert!(prefix.ends_with('.'), "`{prefix}` covers other tokens");
    }
    let check = |token: &str, expected: Option<(u32, u64)>| {
        assert_eq!(parse_reply_token(token), expected, "{token}");
    };
    check("AAAA_wAAAAAAAAAQ", Some((255, 16)));
    check("AAAAAAAAAAAAAAAA", Some((0, 0)));
    check("________________", Some((u32::MAX, u64::MAX)));
    for other in [
        "",
        "AAAA_wAAAAAAAAA",
        "AAAA_wAAAAAAAAAQA",
        "AAAA/wAAAAAAAAAQ",
        "AAAA_wAAAAAAAAA=",
        "0-0",
    ] {
        check(other, None);
    }
}

#[test]
fn inboxes_are_random_and_keep_the_prefix_of_the_user() {
    let inboxes = std::array::from_fn::<_, 100, _>(|_| new_inbox("_INBOX_alice.app"));
    for (number, inbox) in inboxes.iter().enumerate() {
        let random = inbox.strip_prefix("_INBOX_alice.app.").unwrap();
        assert_eq!(random.len(), 22, "128 bits in base64url");
        assert!(!random.contains('.'));
        assert!(!inboxes[..number].contains(inbox));
    }
}

#[test]
fn reply_subjects_are_those_of_their_inbox() {
    let check = |subject: &str, expected: Option<&str>| {
        assert_eq!(reply_token("_INBOX.x", subject), expected, "{subject}");
    };
    check("_INBOX.x.ff-10", Some("ff-10"));
    check("_INBOX.xy.ff-10", None);
    check("_INBOX.x", None);
    check("_INBOX.y.ff-10", None);
}

#[cfg(feature = "jetstream")]
#[test]
fn subjects_of_stored_events_are_those_of_jetstream() {
    check(&dead_letter(None, "MARKET", "books"), "dlq.MARKET.books");
    check(
        &dead_letter(Some("eu"), "MARKET", "books"),
        "eu.dlq.MARKET.books",
    );
    check(&dead_letter_pattern(None, "MARKET"), "dlq.MARKET.>");
    check(
        &pull(JETSTREAM_API, "MARKET", "books"),
        "$JS.API.CONSUMER.MSG.NEXT.MARKET.books",
    );
}
