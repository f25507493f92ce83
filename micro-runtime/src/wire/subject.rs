//! Subjects of the protocol: every reserved token, every subject that the runtime formats, and the
//! reading of those that arrive (docs/PROTOCOL.md, "Names"). Pure.
//!
//! Whether a text of the user can be a token, and which pattern covers which subject, is the grammar of
//! NATS itself: `crate::subject`.

use std::fmt;
use std::sync::Arc;

use async_nats::Subject;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use bytes::BytesMut;

use crate::wire::reply_token;

/// Token between a service base and the id of an instance, or [`ALL_INSTANCES`].
const INSTANCE: &str = "_i";
/// Token in place of an instance id: a request to every instance of the service.
const ALL_INSTANCES: &str = "_all";
/// Token before the name of a stream: frames from its client to the server.
const UP: &str = "_up";
/// Last token of a request for the service's descriptors.
pub(crate) const SCHEMA: &str = "_schema";
/// Last token of a request for the service's health.
pub(crate) const HEALTH: &str = "_health";
/// Name of cancellations, under the subjects of all instances.
pub(crate) const CANCEL: &str = "_cancel";

/// First token of the subjects of ADR-32, unless server and client set another one ("Discovery").
pub(crate) const SERVICE_API: &str = "$SRV";
/// Token of lifecycle events beside ADR-32's verbs, which are upper case without `_` ("Discovery").
const LIFECYCLE_EVENT: &str = "_EVENT";

/// First token of inboxes, which NATS clients use for replies unless they are configured otherwise.
pub(crate) const INBOX: &str = "_INBOX";
/// Prefixes of the reply subjects that a server replies to by default (CALL-4).
///
/// `_R_.` is what nats-server puts in place of a reply subject when a request crosses accounts.
pub(crate) const REPLY_PREFIXES: [&str; 2] = ["_INBOX.", "_R_."];

/// First token of the subjects of dead letters (DEAD-1).
#[cfg(feature = "jetstream")]
const DEAD_LETTERS: &str = "dlq";
/// First token of the subjects of attempts at events (DUR-9).
#[cfg(feature = "jetstream")]
const ATTEMPTS: &str = "attempts";
/// First tokens of the subjects of JetStream's API, unless the connection has others.
pub(crate) const JETSTREAM_API: &str = "$JS.API";

/// Service base of one service: what all its subjects begin with, and the dot after it.
///
/// A server's is `[prefix.]<package>.<Service>.`. A client in another account may know the service under
/// another one, so that neither payloads nor headers ever carry a subject: a peer gets tokens, and appends
/// them to the service base that it knows. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServiceBase(Arc<str>);

/// Target of a message under the subjects of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstanceTarget<'a> {
    /// A call of the method with this name, which may not exist.
    Method(&'a str),
    /// A frame for the stream with this name.
    Stream(&'a str),
    Schema,
    Health,
}

/// Query of ADR-32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Ping,
    Info,
    Stats,
}

impl ServiceBase {
    /// Returns the base of the service with this name on a bus with this prefix.
    pub(crate) fn new(prefix: Option<&str>, service: &str) -> Self {
        Self(format!("{}.", with_prefix(prefix, service)).into())
    }

    /// Returns `<service base>.<Method>`, where some instance of the queue group gets a call.
    pub(crate) fn method(&self, method: &str) -> Subject {
        Subject::from(format!("{self}{method}"))
    }

    /// Returns `<service base>._i.<instance>.<Method>`, where this instance gets a call.
    pub(crate) fn instance_method(&self, instance: &str, method: &str) -> Subject {
        Subject::from(format!("{self}{INSTANCE}.{instance}.{method}"))
    }

    /// Returns `<service base>._i._all.<Method>`, where every instance gets a call ("All instances at
    /// once").
    pub(crate) fn broadcast_method(&self, method: &str) -> Subject {
        self.instance_method(ALL_INSTANCES, method)
    }

    /// Returns `<service base>._i._all._cancel`, where every instance gets the cancellations of callers.
    pub(crate) fn cancel(&self) -> Subject {
        self.broadcast_method(CANCEL)
    }

    /// Returns the pattern of everything under the base.
    pub(crate) fn pattern(&self) -> Subject {
        self.method(">")
    }

    /// Returns the pattern of everything for one instance.
    pub(crate) fn instance_pattern(&self, instance: &str) -> Subject {
        self.instance_method(instance, ">")
    }

    /// Returns the pattern of everything for all instances at once.
    pub(crate) fn broadcast_pattern(&self) -> Subject {
        self.instance_pattern(ALL_INSTANCES)
    }

    /// Returns `<service base>._i.<instance>._up.<stream>`, where the server gets the frames of a stream
    /// ("A streaming call").
    pub(crate) fn upstream(&self, instance: &str, stream: &str) -> Subject {
        Subject::from(format!("{self}{INSTANCE}.{instance}.{UP}.{stream}"))
    }

    /// Returns `<service base>._schema`, where some instance of the queue group gives its descriptors.
    pub(crate) fn schema(&self) -> Subject {
        self.method(SCHEMA)
    }

    /// Returns `<service base>._health`, where some instance of the queue group gives its health.
    pub(crate) fn health(&self) -> Subject {
        self.method(HEALTH)
    }

    /// Returns what a message that arrived under [`instance_pattern`](Self::instance_pattern) is for;
    /// `None` for any other subject.
    pub(crate) fn instance_target<'a>(
        &self,
        instance: &str,
        subject: &'a str,
    ) -> Option<InstanceTarget<'a>> {
        let rest = self.under_instance(instance, subject)?;
        let stream = || rest.strip_prefix(UP)?.strip_prefix('.');
        Some(match rest {
            SCHEMA => InstanceTarget::Schema,
            HEALTH => InstanceTarget::Health,
            _ => stream().map_or(InstanceTarget::Method(rest), InstanceTarget::Stream),
        })
    }

    /// Returns the method that a message under [`broadcast_pattern`](Self::broadcast_pattern) calls;
    /// `None` for any other subject.
    pub(crate) fn broadcast_target<'a>(&self, subject: &'a str) -> Option<&'a str> {
        self.under_instance(ALL_INSTANCES, subject)
    }

    /// Strips `<service base>._i.<instance>.` without formatting it: this runs for each message.
    fn under_instance<'a>(&self, instance: &str, subject: &'a str) -> Option<&'a str> {
        let rest = subject.strip_prefix(&*self.0)?;
        let rest = rest.strip_prefix(INSTANCE)?.strip_prefix('.')?;
        rest.strip_prefix(instance)?.strip_prefix('.')
    }
}

/// The base with its dot, so that tokens can be appended.
impl fmt::Display for ServiceBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServiceBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Verb {
    pub(crate) const ALL: [Self; 3] = [Self::Ping, Self::Info, Self::Stats];

    fn token(self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Info => "INFO",
            Self::Stats => "STATS",
        }
    }

    /// Returns `<api>.<verb>[.<name>[.<id>]]`: the query to all instances, to those of one service, or to
    /// one of them ("Discovery"). `api` is [`SERVICE_API`] or what stands in its place.
    pub(crate) fn subject(self, api: &str, name: Option<&str>, id: Option<&str>) -> Subject {
        let mut subject = format!("{api}.{}", self.token());
        for token in name.into_iter().chain(id) {
            subject.push('.');
            subject.push_str(token);
        }
        Subject::from(subject)
    }
}

/// Returns `name` behind the prefix of a bus, which calls, instances and events have, and `$SRV`, inboxes
/// and the JetStream API do not.
pub(crate) fn with_prefix(prefix: Option<&str>, name: &str) -> Subject {
    match prefix {
        Some(prefix) => Subject::from(format!("{prefix}.{name}")),
        None => Subject::from(name),
    }
}

/// Returns the subject in memory of its own. That of a message is a part of what was read from the connection at once,
/// 64 KiB as a rule, which it keeps alive as a whole.
pub(crate) fn detached(subject: &Subject) -> Subject {
    Subject::from(subject.to_string())
}

/// Returns `<api>._EVENT.<name>.<id>`, where an instance announces that it has started, and that it stops.
pub(crate) fn lifecycle_event(api: &str, name: &str, id: &str) -> Subject {
    Subject::from(format!("{api}.{LIFECYCLE_EVENT}.{name}.{id}"))
}

/// Returns the pattern of the lifecycle events of all instances, or of those of one service.
pub(crate) fn lifecycle_pattern(api: &str, name: Option<&str>) -> Subject {
    match name {
        Some(name) => lifecycle_event(api, name, "*"),
        None => Subject::from(format!("{api}.{LIFECYCLE_EVENT}.>")),
    }
}

/// Returns whether `subject` is where the instance itself publishes its lifecycle events, whatever the
/// receiver's account has in place of [`SERVICE_API`]. NATS permissions then keep other users from
/// announcing for it.
pub(crate) fn is_lifecycle_event_of(subject: &str, name: &str, id: &str) -> bool {
    let before_id = || subject.strip_suffix(id)?.strip_suffix('.');
    let before_name = || before_id()?.strip_suffix(name)?.strip_suffix('.');
    let before_event = || before_name()?.strip_suffix(LIFECYCLE_EVENT);
    before_event().is_some_and(|api| api.ends_with('.'))
}

/// Returns whether `subject` is one of lifecycle events.
pub(crate) fn is_lifecycle_event(subject: &str) -> bool {
    let mut tokens = subject.split('.');
    tokens.next() == Some(SERVICE_API) && tokens.next() == Some(LIFECYCLE_EVENT)
}

/// Returns a new inbox, `<prefix>.<random>`, with 128 random bits as digits of base64url ("Reply subjects").
///
/// NATS clients append a number that counts up, so that a peer that was called once can guess the next inboxes
/// of the same process.
pub(crate) fn new_inbox(prefix: &str) -> Subject {
    Subject::from(format!("{prefix}.{}", random_token()))
}

/// Returns 128 random bits as one token.
pub(crate) fn random_token() -> String {
    BASE64URL.encode(rand::random::<[u8; 16]>())
}

/// Returns whether a message on this subject is in the inbox of a client that has the usual prefix.
#[cfg(feature = "__testkit")]
pub(crate) fn is_inbox(subject: &str) -> bool {
    reply_token(INBOX, subject).is_some()
}

/// Returns whether a message on this subject is a frame from the client of a stream.
#[cfg(feature = "__testkit")]
pub(crate) fn is_upstream(subject: &str) -> bool {
    subject.split('.').rev().nth(1) == Some(UP)
}

/// Returns whether callers cancel calls on this subject.
pub(crate) fn is_cancel(subject: &str) -> bool {
    subject
        .rsplit('.')
        .take(3)
        .eq([CANCEL, ALL_INSTANCES, INSTANCE])
}

/// Returns the pattern of all reply subjects of an inbox.
pub(crate) fn reply_pattern(inbox: &str) -> Subject {
    Subject::from(format!("{inbox}.*"))
}

/// Returns `<inbox>.<token>`, written into `buffer` and split off it: the reply subject of one use of a slot. The
/// token is slot and nonce in big-endian order, as digits of base64url ("Reply subjects").
#[inline]
pub(crate) fn reply(buffer: &mut BytesMut, inbox: &str, slot: u32, nonce: u64) -> Subject {
    buffer.extend_from_slice(inbox.as_bytes());
    buffer.extend_from_slice(b".");
    buffer.extend_from_slice(&reply_token::encode(slot, nonce));
    Subject::from_utf8(buffer.split().freeze())
        .unwrap_or_else(|_| unreachable!("an inbox is text, and so are the digits"))
}

/// Returns the length of a reply subject of an inbox, in bytes.
pub(crate) fn reply_len(inbox: &str) -> usize {
    inbox.len() + 1 + reply_token::TOKEN_LEN
}

/// Returns the last token of a reply subject of this inbox; `None` for any other subject.
#[inline]
pub(crate) fn reply_token<'a>(inbox: &str, subject: &'a str) -> Option<&'a str> {
    subject.strip_prefix(inbox)?.strip_prefix('.')
}

/// Returns slot and nonce of the last token of a reply subject; `None` for any other token.
#[inline]
pub(crate) fn parse_reply_token(token: &str) -> Option<(u32, u64)> {
    reply_token::decode(token.as_bytes().try_into().ok()?)
}

/// Returns `dlq.<stream>.<consumer>`, where a durable consumer's dead letters go by default.
#[cfg(feature = "jetstream")]
pub(crate) fn dead_letter(prefix: Option<&str>, stream: &str, consumer: &str) -> Subject {
    with_prefix(prefix, &format!("{DEAD_LETTERS}.{stream}.{consumer}"))
}

/// Returns the pattern of the dead letters of all consumers of a stream.
#[cfg(feature = "jetstream")]
pub(crate) fn dead_letter_pattern(prefix: Option<&str>, stream: &str) -> Subject {
    dead_letter(prefix, stream, ">")
}

/// Returns `attempts.<stream>.<consumer>`, under which a durable consumer records its attempts at events.
#[cfg(feature = "jetstream")]
pub(crate) fn attempts(prefix: Option<&str>, stream: &str, consumer: &str) -> Subject {
    with_prefix(prefix, &format!("{ATTEMPTS}.{stream}.{consumer}"))
}

/// Returns the pattern of the attempts of all consumers of a stream.
#[cfg(feature = "jetstream")]
pub(crate) fn attempt_pattern(prefix: Option<&str>, stream: &str) -> Subject {
    attempts(prefix, stream, ">")
}

/// Returns the first tokens of the subjects of JetStream's API in a domain.
#[cfg(feature = "jetstream")]
pub(crate) fn domain_api(domain: &str) -> String {
    format!("$JS.{domain}.API")
}

/// Returns the subject of a request to JetStream's API: its verb, such as `STREAM.INFO`, and what it is about. `api` is
/// [`JETSTREAM_API`] or what stands in its place.
pub(crate) fn api(api: &str, verb: &str, about: &[&str]) -> Subject {
    let mut subject = format!("{api}.{verb}");
    for token in about {
        subject.push('.');
        subject.push_str(token);
    }
    Subject::from(subject)
}

/// Returns the subject on which a consumer of JetStream is asked for its next events.
#[cfg(feature = "jetstream")]
pub(crate) fn pull(api_prefix: &str, stream: &str, consumer: &str) -> Subject {
    api(api_prefix, "CONSUMER.MSG.NEXT", &[stream, consumer])
}

#[cfg(test)]
#[path = "subject_tests.rs"]
mod tests;
