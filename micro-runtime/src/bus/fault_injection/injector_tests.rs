//! Each rule does to messages what it states, and the same seed does the same.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, Message};
use tokio::time::Instant;

use crate::bus::fault_injection::forgery::Forgery;
use crate::bus::fault_injection::injector::{Injector, MAX_HOLD, PublishOutcome};
use crate::bus::fault_injection::rule::{ActiveRule, MessageKind, Rule};
use crate::bus::mux::Mux;
use crate::bus::outgoing::PublishError;
use crate::bus::refusal::Refusal;
use crate::bus::refusals::Refusals;

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn a_rule_acts_on_the_messages_that_it_names() {
    let check = |rule: Rule, expected: &[&str]| {
        let injector = injector(1);
        let text = format!("{rule:?}");
        let rule = injector.add(rule);
        let sent = ["a.b", "a.c", "a.b", "d"];
        let arrived: Vec<String> = sent
            .iter()
            .flat_map(|subject| pass(&injector, event(subject), Instant::now()))
            .collect();
        assert_eq!(arrived, expected, "{text}");
        assert_eq!(arrived.len() as u64, 4 - rule.applied(), "{text}");
    };
    check(Rule::drop(">"), &[]);
    check(Rule::drop("a.*"), &["d"]);
    check(Rule::drop("a.b"), &["a.c", "d"]);
    check(Rule::drop("a.*").nth(2), &["a.b", "a.b", "d"]);
    check(Rule::drop("a.*").skip(1), &["a.b", "d"]);
    check(Rule::drop(">").times(3), &["d"]);
    check(
        Rule::drop(">").with_probability(0.0),
        &["a.b", "a.c", "a.b", "d"],
    );
    check(Rule::drop(">").of_kind(MessageKind::Event), &[]);
    check(
        Rule::drop(">").of_kind(MessageKind::Request),
        &["a.b", "a.c", "a.b", "d"],
    );
}

#[test]
fn messages_are_told_apart_by_what_they_are_for() {
    let injector = injector(1);
    let kinds = [
        MessageKind::Request,
        MessageKind::Reply,
        MessageKind::Frame,
        MessageKind::Event,
    ];
    let rules = kinds.map(|kind| injector.add(Rule::pass(">").of_kind(kind)));
    let check = |message: Message, expected: MessageKind| {
        let subject = message.subject.clone();
        let before = rules.each_ref().map(ActiveRule::applied);
        taken(&injector, message, Instant::now());
        let grown = (0..4).filter(|&at| rules[at].applied() > before[at]);
        let grown: Vec<MessageKind> = grown.map(|at| kinds[at]).collect();
        assert_eq!(grown, [expected], "{subject}");
    };
    check(event("evt.a"), MessageKind::Event);
    check(request("a.B.C", "_INBOX.i.1", false), MessageKind::Request);
    check(event("_INBOX.i.1"), MessageKind::Reply);
    // A stream: a frame begins with its mark, and a plain reply does not.
    check(request("a.B.S", "_INBOX.i.2", true), MessageKind::Request);
    check(frame("_INBOX.i.2"), MessageKind::Frame);
    check(event("_INBOX.i.2"), MessageKind::Reply);
    check(event("a.B._i.x._up.7f"), MessageKind::Frame);
    check(
        request("a.B._i.x._up.7f", "_INBOX.i.2", false),
        MessageKind::Frame,
    );
    let repeated = Message {
        payload: b"\x07\x18\x08"[..].into(),
        ..frame("_INBOX.i.2")
    };
    check(repeated, MessageKind::Reply);
    // A large reply: the offer is a frame with headers, a reply, and frames follow it.
    check(request("a.B.C", "_INBOX.i.3", false), MessageKind::Request);
    let offer = Message {
        headers: Some(stream_header()),
        ..frame("_INBOX.i.3")
    };
    check(offer, MessageKind::Reply);
    check(frame("_INBOX.i.3"), MessageKind::Frame);
    assert_eq!(
        injector.reply_subjects(),
        ["_INBOX.i.1", "_INBOX.i.2", "_INBOX.i.3"].map(Into::into)
    );
}

#[test]
fn the_first_rule_that_acts_decides() {
    let injector = injector(1);
    let first = injector.add(Rule::pass("a.*").times(1));
    let second = injector.add(Rule::drop(">"));
    let arrived =
        ["a.b", "a.c", "d"].map(|subject| pass(&injector, event(subject), Instant::now()));
    assert_eq!(arrived.concat(), ["a.b"]);
    assert_eq!((first.matched(), first.applied()), (2, 1));
    assert_eq!((second.matched(), second.applied()), (2, 2));
    injector.clear();
    assert_eq!(pass(&injector, event("d"), Instant::now()), ["d"]);
}

#[test]
fn delayed_messages_and_copies_come_when_they_are_due_in_order() {
    let injector = injector(1);
    injector.add(Rule::delay("late.*", MILLISECOND * 5..MILLISECOND * 5));
    injector.add(Rule::duplicate("twice", 2, MILLISECOND..MILLISECOND * 4));
    injector.add(Rule::duplicate(
        "at.once",
        1,
        Duration::ZERO..Duration::ZERO,
    ));
    let now = Instant::now();
    assert_eq!(pass(&injector, event("late.1"), now), [""; 0]);
    assert_eq!(pass(&injector, event("late.2"), now), [""; 0]);
    assert_eq!(pass(&injector, event("twice"), now), ["twice"]);
    assert_eq!(pass(&injector, event("at.once"), now), ["at.once"; 2]);
    assert_eq!(due(&injector, now), [""; 0]);
    assert_eq!(due(&injector, now + MILLISECOND * 4), ["twice"; 2]);
    let rest = due(&injector, now + MILLISECOND * 5);
    assert_eq!(rest, ["late.1", "late.2"]);
    assert_eq!(due(&injector, now + MILLISECOND * 999), [""; 0]);
}

#[test]
fn neighbors_on_one_subject_change_places() {
    let injector = injector(1);
    injector.add(Rule::reorder("a.*"));
    let now = Instant::now();
    let numbered = |subject: &str, payload: &'static str| Message {
        payload: payload.into(),
        ..event(subject)
    };
    let mut arrived = Vec::new();
    for (subject, payload) in [
        ("a.b", "1"),
        ("a.c", "2"),
        ("a.b", "3"),
        ("a.c", "4"),
        ("a.b", "5"),
    ] {
        let outcome = taken(&injector, numbered(subject, payload), now);
        arrived.extend(outcome.now.into_iter().map(|message| message.payload));
    }
    assert_eq!(arrived, ["3", "1", "4", "2"]);
    // The last one has no successor.
    assert_eq!(injector.held(), 1);
    assert_eq!(due(&injector, now + MAX_HOLD), ["a.b"]);
    assert_eq!(injector.held(), 0);
    assert_eq!(pass(&injector, event("a.b"), now), [""; 0]);
    injector.disconnect();
    assert_eq!(injector.held(), 0);
}

#[test]
fn a_forged_reply_precedes_the_request() {
    let injector = injector(1);
    injector.add(Rule::forge_reply("a.*", Forgery::new().payload("forged")));
    let now = Instant::now();
    let request = request("a.b", "_INBOX.i.1", false);
    assert_eq!(pass(&injector, request, now), ["_INBOX.i.1", "a.b"]);
    assert_eq!(pass(&injector, event("a.b"), now), ["a.b"]);
}

#[test]
fn nothing_is_taken_while_disconnected_and_messages_on_their_way_are_lost() {
    let injector = injector(1);
    injector.add(Rule::delay("late", MILLISECOND..MILLISECOND));
    let now = Instant::now();
    assert!(!injector.reconnect());
    assert_eq!(pass(&injector, event("late"), now), [""; 0]);
    assert!(injector.disconnect());
    assert!(!injector.disconnect());
    let outcome = injector.pass(event("a"), now);
    assert!(matches!(outcome, Err(PublishError::Disconnected)));
    assert_eq!(due(&injector, now + MILLISECOND), [""; 0]);
    assert!(injector.reconnect());
    assert_eq!(pass(&injector, event("b"), now), ["b"]);
}

#[test]
fn a_refused_subject_is_returned_and_nothing_is_delivered() {
    let injector = injector(1);
    let all = injector.add(Rule::pass(">"));
    injector.refuse_publish("a.*");
    injector.refuse_subscribe("b.>");
    let refused = |subject: &str| {
        let outcome = taken(&injector, event(subject), Instant::now());
        assert_eq!(outcome.now.is_empty(), outcome.refusal.is_some());
        outcome.refusal
    };
    assert_eq!(refused("a.b"), Some(Refusal::Publish("a.b".to_owned())));
    assert_eq!(refused("a.b.c"), None);
    assert_eq!(refused("b.c"), None);
    assert!(injector.is_subscription_refused("b.*"));
    assert!(!injector.is_subscription_refused("a.b"));
    assert_eq!(all.matched(), 2);
    injector.allow_all();
    assert_eq!(refused("a.b"), None);
    assert!(!injector.is_subscription_refused("b.*"));
}

#[test]
fn the_seed_decides_and_other_rules_do_not() {
    let lost = |seed: u64, has_other_rule: bool| -> Vec<bool> {
        let injector = injector(seed);
        injector.add(Rule::drop("a").with_probability(0.5));
        if has_other_rule {
            injector.add(Rule::drop("b").with_probability(0.5));
        }
        let now = Instant::now();
        let sent = (0..64).map(|_| {
            pass(&injector, event("b"), now);
            pass(&injector, event("a"), now).is_empty()
        });
        sent.collect()
    };
    assert_eq!(lost(1, false), lost(1, false));
    assert_eq!(lost(1, false), lost(1, true));
    assert_ne!(lost(1, false), lost(2, false));
    let share = lost(1, false)
        .into_iter()
        .filter(|&is_lost| is_lost)
        .count();
    assert!((16..48).contains(&share), "{share}");
}

fn injector(seed: u64) -> Injector {
    let mux = Arc::new(Mux::new("_INBOX.test"));
    Injector::new(seed, Arc::new(Refusals::new(mux)))
}

fn event(subject: &str) -> Message {
    Forgery::new().message(subject.into())
}

fn request(subject: &str, reply: &str, opens_stream: bool) -> Message {
    let headers = opens_stream.then(stream_header);
    Message {
        headers,
        ..Forgery::new().reply_to(reply).message(subject.into())
    }
}

fn frame(subject: &str) -> Message {
    Forgery::new()
        .payload(&b"\x0f\x18\x08"[..])
        .message(subject.into())
}

fn stream_header() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Micro-Stream", "v=1");
    headers
}

/// Returns what becomes of a message on a bus that is connected.
fn taken(injector: &Injector, message: Message, now: Instant) -> PublishOutcome {
    match injector.pass(message, now) {
        Ok(outcome) => outcome,
        Err(_) => panic!("the bus is not connected"),
    }
}

/// Returns the subjects of what arrives at once.
fn pass(injector: &Injector, message: Message, now: Instant) -> Vec<String> {
    let arrived = taken(injector, message, now).now;
    arrived
        .iter()
        .map(|message| message.subject.to_string())
        .collect()
}

fn due(injector: &Injector, now: Instant) -> Vec<String> {
    let due = injector.take_due(now);
    due.iter()
        .map(|message| message.subject.to_string())
        .collect()
}
