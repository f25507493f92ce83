//! `Refusal`: what NATS does not allow, read from the text of an error (`-ERR`), and the errors that it leads to.
//!
//! Errors of NATS's protocol have no code, so their text is parsed, whole: every form that nats-server writes is
//! known, and subjects are quoted as Go's `%q` does it, so that no subject can pass for the text around it. A text is
//! never searched, and subjects are compared as a whole.

use async_nats::Subject;

use crate::bus::permission_line::{inbox_line, publish_advice, subscribe_advice};
use crate::error::{Error, ErrorKind};
use crate::status::{Code, Reason, Status};

/// One error of NATS: the message or subscription that it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A message to this subject, which this user may not publish to.
    Publish(String),
    /// A message with this reply subject, which no client may use.
    ReplySubject(String),
    /// A subscription, new or one that lost its permission.
    Subscription {
        subject: String,
        /// Queue group; `None` for a plain subscription.
        queue: Option<String>,
    },
    /// A subscription to this subject that lost its permission. nats-server does not state its queue group before 2.14:
    /// it may have none, or any.
    Revoked(String),
    /// A subscription above `max_subscriptions`; NATS does not state which.
    SubscriptionLimit,
    /// A subscription to a malformed subject; NATS does not state which.
    InvalidSubject,
    /// Any other error, as the text that NATS sent.
    Other(String),
}

impl Refusal {
    /// Reads the text of a `-ERR`. One that has no known form is [`Other`](Self::Other).
    pub(crate) fn parse(text: &str) -> Self {
        Self::parse_known(text).unwrap_or_else(|| Self::Other(text.to_owned()))
    }

    fn parse_known(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("maximum subscriptions exceeded") {
            return Some(Self::SubscriptionLimit);
        }
        if text.eq_ignore_ascii_case("invalid subject") {
            return Some(Self::InvalidSubject);
        }
        let rest = text.strip_prefix("Permissions Violation for ")?;
        if let Some(rest) = rest.strip_prefix("Publish to ") {
            return whole(unquote(rest)?).map(Self::Publish);
        }
        if let Some(rest) = rest.strip_prefix("Publish with Reply of ") {
            return whole(unquote(rest)?).map(Self::ReplySubject);
        }
        let (subject, mut rest) = unquote(rest.strip_prefix("Subscription to ")?)?;
        let mut queue = None;
        if let Some(quoted) = rest.strip_prefix(" using queue ") {
            let (name, behind) = unquote(quoted)?;
            queue = Some(name);
            rest = behind;
        }
        rest = rest.strip_prefix(", too many tokens").unwrap_or(rest);
        let mut is_revoked = false;
        if let Some(quoted) = rest.strip_prefix(" (sid ") {
            rest = unquote(quoted)?.1.strip_prefix(')')?;
            is_revoked = queue.is_none();
        }
        let refusal = match is_revoked {
            true => Self::Revoked(subject),
            false => Self::Subscription { subject, queue },
        };
        rest.is_empty().then_some(refusal)
    }

    /// Returns whether it is about the subscription to this subject in this queue group.
    pub(crate) fn is_of_subscription(&self, wanted: &str, group: Option<&str>) -> bool {
        matches!(self, Self::Subscription { subject, queue }
            if subject == wanted && queue.as_deref() == group)
    }

    /// Returns whether it is about publishing to this subject.
    pub(crate) fn is_of_publish(&self, wanted: &str) -> bool {
        matches!(self, Self::Publish(subject) if subject == wanted)
    }

    /// Returns the operation that was refused, for metrics.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Publish(_) | Self::ReplySubject(_) => "publish",
            Self::Subscription { .. }
            | Self::Revoked(_)
            | Self::SubscriptionLimit
            | Self::InvalidSubject => "subscribe",
            Self::Other(_) => "other",
        }
    }

    /// Returns one sentence on what was refused and which permission is missing.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Publish(subject) => format!(
                "NATS does not let this user publish to `{subject}`; {}",
                publish_advice(subject)
            ),
            Self::ReplySubject(subject) => format!(
                "NATS does not let this user publish with the reply subject `{subject}`, which is reserved; set another inbox by `NATS_INBOX_PREFIX` or `ConnectOptions::inbox_prefix`"
            ),
            Self::Subscription { subject, queue } => {
                let group = queue.iter().map(|queue| format!(" in queue group `{queue}`"));
                format!(
                    "NATS does not let this user subscribe to `{subject}`{}; {}",
                    group.collect::<String>(),
                    subscribe_advice(subject, queue.as_deref())
                )
            }
            Self::Revoked(subject) => format!("NATS has revoked a subscription to `{subject}`"),
            Self::SubscriptionLimit => {
                "NATS allows this connection no further subscription: `max_subscriptions` is reached".to_owned()
            }
            Self::InvalidSubject => "NATS takes a subject for malformed".to_owned(),
            Self::Other(text) => format!("NATS reports an error: {text}"),
        }
    }

    /// Returns the error of a call or an event that was refused: `PERMISSION_DENIED`, and `RESOURCE_EXHAUSTED` for
    /// the limit of subscriptions.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::SubscriptionLimit => {
                Reason::NotPermitted.status_with(Code::ResourceExhausted, self.text())
            }
            _ => Reason::NotPermitted.status(self.text()),
        }
    }

    /// Returns the error of a start or a subscription that was refused.
    pub(crate) fn error(&self) -> Error {
        Error::new(ErrorKind::Permission, self.text())
    }
}

/// Returns the error of a message to a subject that this user may not publish to.
pub(crate) fn publish_refused(subject: &str) -> Status {
    Refusal::Publish(subject.to_owned()).status()
}

/// Returns the error of a message whose reply subject no client may use.
pub(crate) fn reply_subject_refused(subject: &str) -> Status {
    Refusal::ReplySubject(subject.to_owned()).status()
}

/// Returns the error of everything that waits for a message in this inbox, whose subscription is refused.
pub(crate) fn inbox_refused(inbox: &Subject) -> Status {
    Reason::NotPermitted.status(format!(
        "NATS does not let this user subscribe to its own inbox `{inbox}.>`, in which replies arrive; allow `subscribe: \"{}\"` in its permissions, or set an inbox that it may subscribe to by `NATS_INBOX_PREFIX` or `ConnectOptions::inbox_prefix`",
        inbox_line(inbox)
    ))
}

/// Returns the text if nothing is left behind it.
fn whole((text, rest): (String, &str)) -> Option<String> {
    rest.is_empty().then_some(text)
}

/// Reads a text that Go's `%q` has quoted; returns it and what follows. `None` if it is not quoted.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut rest = quoted.strip_prefix('"')?;
    let mut bytes = Vec::new();
    loop {
        let next = rest.chars().next()?;
        rest = &rest[next.len_utf8()..];
        match next {
            '"' => return Some((String::from_utf8_lossy(&bytes).into_owned(), rest)),
            '\\' => rest = unescape(rest, &mut bytes)?,
            _ => bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Reads what follows a backslash into `bytes`; returns what is behind it.
fn unescape<'a>(escape: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let kind = escape.chars().next()?;
    let rest = &escape[kind.len_utf8()..];
    let digits = match kind {
        'a' => return push(7, rest, bytes),
        'b' => return push(8, rest, bytes),
        't' => return push(b'\t', rest, bytes),
        'n' => return push(b'\n', rest, bytes),
        'v' => return push(11, rest, bytes),
        'f' => return push(12, rest, bytes),
        'r' => return push(b'\r', rest, bytes),
        '"' | '\\' => return push(kind as u8, rest, bytes),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let text = rest.get(..digits)?;
    // `from_str_radix` reads a sign, too.
    let is_number = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(text, 16).ok().filter(|_| is_number)?;
    match u8::try_from(number) {
        Ok(byte) if kind == 'x' => bytes.push(byte),
        _ => {
            let letter = char::from_u32(number)?;
            bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    rest.get(digits..)
}

fn push<'a>(byte: u8, rest: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    bytes.push(byte);
    Some(rest)
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
