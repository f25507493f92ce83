//! The fuzz target `subjects`: the grammar of subjects, those that arrive, and those in the errors of nats-server.

use async_nats::Subject;
use bytes::BytesMut;

use crate::bus::Refusal;
use crate::descriptor::{EventDescriptor, EventField};
use crate::discovery::names;
use crate::event::SubjectWriter;
use crate::fuzz::cases::Cases;
use crate::fuzz::overlap_model;
use crate::subject;
use crate::wire::subject as forms;
use crate::wire::subject::{InstanceTarget, SERVICE_API, ServiceBase, Verb};
use crate::wire::{CancelToken, refused_subject};

/// Maximum number of lines that are read of an input.
const LINES: usize = 64;
/// Token that stands for any instance, inbox or stream.
const TOKEN: &str = "a1";

static EVENT: EventDescriptor = EventDescriptor::new(
    "demo.v1.Demo",
    "evt.demo.{text}.on.{other}",
    &[EventField::new("text"), EventField::new("other")],
);

/// Entry point of the fuzz target `subjects`.
#[cfg(fuzzing)]
pub fn fuzz_subjects(bytes: &[u8]) {
    run(bytes);
}

/// Reads each line of `bytes` as a subject and as an error of nats-server, and each two lines as patterns.
///
/// # Panics
///
/// Panics if an invariant is violated.
pub(super) fn run(bytes: &[u8]) -> Cases {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split('\n').take(LINES).collect::<Vec<_>>();
    let mut cases = Cases::new();
    for line in &lines {
        check_flaws(line);
        check_escape(line);
        check_refusal(line, &mut cases);
        check_quoted(line);
        check_arrived(line, &mut cases);
        check_names(line, &mut cases);
    }
    for (one, other) in lines.iter().zip(&lines[1..]) {
        overlap_model::check(one, other);
        check_event(one, other, &mut cases);
        if subject::overlap(one, other) && one != other {
            cases.insert("patterns that overlap");
        }
    }
    cases
}

/// Checks that a text without a flaw can be published to.
fn check_flaws(text: &str) {
    overlap_model::check(text, text);
    if subject::literal_flaw(text).is_none() {
        assert_eq!(subject::raw_flaw(text, false), None, "{text}");
    }
    if subject::raw_flaw(text, false).is_none() {
        assert!(!subject::is_pattern(text), "{text}");
        assert!(subject::matches(text, text) && subject::matches(">", text));
    }
}

/// Checks that any text is one token, and is read back.
fn check_escape(text: &str) {
    let mut token = BytesMut::new();
    subject::escape(text, &mut token);
    let token = String::from_utf8_lossy(&token).into_owned();
    assert_eq!(subject::syntax_flaw(&token, false), None, "{token}");
    assert!(!token.contains('.') && token.len() <= 1 + 3 * text.len());
    assert_eq!(subject::unescape(&token).as_deref(), Some(text));
    if let Some(read) = subject::unescape(text) {
        assert!(read.len() <= text.len());
        assert!(!has_malformed_escape(text) || text == "%", "{text}");
    }
}

/// Returns whether a `%` is not followed by two hexadecimal digits.
fn has_malformed_escape(token: &str) -> bool {
    let digits = |rest: &str| rest.chars().take(2).filter(char::is_ascii_hexdigit).count();
    token.split('%').skip(1).any(|rest| digits(rest) < 2)
}

/// Checks what an error of nats-server leads to.
fn check_refusal(text: &str, cases: &mut Cases) {
    let refusal = Refusal::parse(text);
    cases.insert(match &refusal {
        Refusal::Publish(_) => "a refused message",
        Refusal::ReplySubject(_) => "a refused reply subject",
        Refusal::Subscription { queue: None, .. } => "a refused subscription",
        Refusal::Subscription { .. } => "a refused subscription of a queue group",
        Refusal::Revoked(_) => "a revoked subscription",
        Refusal::SubscriptionLimit => "too many subscriptions",
        Refusal::InvalidSubject => "a malformed subject",
        Refusal::Other(kept) => {
            assert_eq!(kept, text);
            "another error"
        }
    });
    check_advice(&refusal);
}

/// Checks that the permission which an error names covers the subject that was refused.
fn check_advice(refusal: &Refusal) {
    let text = refusal.text();
    let (subject, queue, verb) = match refusal {
        Refusal::Publish(subject) => (subject, None, "publish"),
        Refusal::Subscription { subject, queue } => (subject, queue.as_deref(), "subscribe"),
        _ => return,
    };
    assert!(text.len() <= 512 + 4 * (subject.len() + queue.map_or(0, str::len)));
    // What is published under `_R_` is a reply, for which the error names two lines.
    let is_reply = subject.starts_with("_R_.");
    if subject::raw_flaw(subject, verb == "subscribe").is_some() || is_reply {
        return;
    }
    let (_, advice) = text
        .split_once(&format!("; allow `{verb}: \""))
        .unwrap_or_default();
    let (line, _) = advice
        .rsplit_once("\"` in its permissions")
        .unwrap_or_default();
    let line = queue
        .and_then(|queue| line.strip_suffix(&format!(" {queue}")))
        .unwrap_or(line);
    assert!(subject::matches(line, subject), "`{line}` for `{subject}`");
}

/// Checks that any subject which nats-server quotes is read back, whatever it looks like.
fn check_quoted(text: &str) {
    let quoted = quoted(text);
    let parse = |form: &str| Refusal::parse(&format!("Permissions Violation for {form}"));
    assert!(parse(&format!("Publish to {quoted}")).is_of_publish(text));
    let subscription = parse(&format!("Subscription to \"a\" using queue {quoted}"));
    assert!(subscription.is_of_subscription("a", Some(text)));
    let revoked = parse(&format!("Subscription to {quoted} (sid \"1\")"));
    assert_eq!(revoked, Refusal::Revoked(text.to_owned()));
    let behind = format!("Publish to {quoted}, and more");
    assert!(matches!(parse(&behind), Refusal::Other(_)));
}

/// Quotes a text as Go's `%q` does it.
fn quoted(text: &str) -> String {
    let quote = |letter: char| match letter {
        '"' | '\\' => format!("\\{letter}"),
        ' '..='~' => letter.to_string(),
        '\n' => "\\n".to_owned(),
        '\0'..='\u{7f}' => format!("\\x{:02x}", u32::from(letter)),
        '\u{80}'..='\u{ffff}' => format!("\\u{:04x}", u32::from(letter)),
        _ => format!("\\U{:08x}", u32::from(letter)),
    };
    format!("\"{}\"", text.chars().map(quote).collect::<String>())
}

/// Checks the reading of a subject that arrived, and of one that is written with the text as its last tokens.
fn check_arrived(text: &str, cases: &mut Cases) {
    let base = ServiceBase::new(Some("eu"), "a.v1.S");
    if base.instance_target(TOKEN, text).is_some() {
        cases.insert("a subject of an instance");
    }
    let method = base.instance_method(TOKEN, text);
    let target = base.instance_target(TOKEN, &method);
    let is_method = target == Some(InstanceTarget::Method(text));
    assert!(is_method || text.starts_with('_'), "{target:?}");
    let upstream = base.upstream(TOKEN, text);
    let target = base.instance_target(TOKEN, &upstream);
    assert_eq!(target, Some(InstanceTarget::Stream(text)));
    let broadcast = base.broadcast_method(text);
    assert_eq!(base.broadcast_target(&broadcast), Some(text));
    assert!(forms::is_cancel(&base.cancel()));
    if forms::is_cancel(text) {
        cases.insert("a subject of cancellations");
    }
    let inbox = format!("_INBOX.{TOKEN}");
    let token = forms::reply_token(&inbox, text).unwrap_or(text);
    let id = CancelToken::parse(token);
    assert_eq!(id.is_some(), forms::parse_reply_token(token).is_some());
    if let Some((slot, nonce)) = forms::parse_reply_token(token) {
        let subject = forms::reply(&mut BytesMut::new(), &inbox, slot, nonce);
        assert_eq!(forms::reply_token(&inbox, &subject), Some(token));
        assert_eq!(id, Some(CancelToken::of_reply(slot, nonce)));
        cases.insert("a reply subject");
    }
    assert!(refused_subject::is_marker(
        &inbox,
        &refused_subject::reply(&inbox, text)
    ));
    assert!(refused_subject::is_marker(
        &inbox,
        &refused_subject::target(&inbox, text)
    ));
    #[cfg(feature = "jetstream")]
    check_acknowledgment(text);
}

/// Checks the reading of the subject on which a delivery of JetStream is acknowledged.
#[cfg(feature = "jetstream")]
fn check_acknowledgment(text: &str) {
    use crate::context::Delivery;
    use crate::wire::ack_subject::{ack, is_ack_of, parse_ack};

    let stream = std::sync::Arc::from("S");
    if let Some(numbers) = parse_ack(text) {
        let again = ack("S", "c", numbers.sequence, numbers.stored_ns);
        let again = parse_ack(&again);
        assert_eq!(again.map(|again| again.sequence), Some(numbers.sequence));
        assert_eq!(again.map(|again| again.stored_ns), Some(numbers.stored_ns));
    }
    if let Some(delivery) = Delivery::parse(&stream, text) {
        // For any number of nanoseconds.
        let _ = delivery.time();
    }
    if !text.contains('.') {
        assert!(is_ack_of(&ack("S", text, 1, 1), "S", text));
    }
}

/// Checks the subjects of discovery that are made of a name.
fn check_names(text: &str, cases: &mut Cases) {
    if names::name_flaw(text).is_none() {
        let queries = Verb::ALL.map(|verb| verb.subject(SERVICE_API, Some(text), Some(text)));
        let event = forms::lifecycle_event(SERVICE_API, text, text);
        assert!(forms::is_lifecycle_event_of(&event, text, text));
        assert!(forms::is_lifecycle_event(&event));
        let is_right = |subject: &Subject| subject::syntax_flaw(subject, false).is_none();
        assert!(queries.iter().chain([&event]).all(is_right));
        cases.insert("a name of ADR-32");
    }
    if names::prefix_flaw(text).is_none() {
        let query = Verb::Ping.subject(text, None, None);
        assert_eq!(subject::syntax_flaw(&query, false), None, "{query}");
    }
    if names::is_semver(text) {
        cases.insert("a version");
    }
    if forms::is_lifecycle_event_of(text, "S", TOKEN) {
        cases.insert("a lifecycle event");
    }
}

/// Checks that the fields of an event are read from its subject, whatever they are.
fn check_event(text: &str, other: &str, cases: &mut Cases) {
    let mut buffer = BytesMut::new();
    let mut writer = SubjectWriter::new(&EVENT, &mut buffer);
    writer.literal("evt.demo.");
    writer.text(0, text);
    writer.literal(".on.");
    writer.text(1, other);
    if writer.finish().is_ok() {
        let subject = String::from_utf8_lossy(&buffer).into_owned();
        assert_eq!(subject::raw_flaw(&subject, false), None, "{subject}");
        assert!(subject::matches(&EVENT.pattern(), &subject));
        let fields = EVENT.parse(&subject);
        assert_eq!(fields, Some(vec![text.to_owned(), other.to_owned()]));
    }
    if EVENT.parse(text).is_some() {
        assert!(subject::matches(&EVENT.pattern(), text), "{text}");
        cases.insert("the subject of an event");
    }
}
