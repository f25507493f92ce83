//! Grammar of NATS subjects: which texts are well formed, which pattern covers which subject, and how any text
//! becomes one token. Pure.
//!
//! A subject is a list of tokens with dots between them. In a pattern `*` stands for one token and a `>` at the end
//! for one or more. A subject that NATS cannot route is not an error there: the message is lost, or the connection
//! is closed, so that texts of users are checked here first. The functions `…_flaw` return the second half of an
//! error message, after the colon. The reserved tokens of this protocol are in `wire::subject`.

use bytes::{BufMut as _, BytesMut};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Maximum length of a subject that a user or an event chooses, in bytes. nats-server ends a connection that sends a
/// line of more than 4,096 bytes, which has the reply subject as well; an API subject of JetStream has a filter
/// within it.
pub(crate) const MAX_SUBJECT_LEN: usize = 3_072;
/// Maximum length of literal tokens that become a part of subjects, in bytes.
const MAX_LITERAL_LEN: usize = 256;

/// Token that stands for an empty text: NATS has no empty tokens.
const EMPTY: &str = "%";

/// Bytes that are percent-encoded in a token: all but `A-Z a-z 0-9 - _ ~`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// Returns why `text` cannot be one or more literal tokens that a user chose: a prefix, a service base, an
/// instance id.
///
/// Wildcards, empty tokens and white space break routing. Tokens that begin with `_` belong to this protocol, those
/// that begin with `$` to NATS (docs/PROTOCOL.md, NAME-8).
pub(crate) fn literal_flaw(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.len() > MAX_LITERAL_LEN {
        return Some("it has more than 256 bytes");
    }
    text.split('.')
        .find_map(|token| match token.chars().next() {
            None => Some("it has an empty token"),
            Some('_' | '$') => Some("a token that begins with `_` or `$` is reserved"),
            Some(_) if token.chars().any(|c| c.is_whitespace() || c.is_control()) => {
                Some("it has white space or a control character")
            }
            Some(_) if token.contains(['*', '>']) => Some("it has a wildcard"),
            Some(_) => None,
        })
}

/// Returns why `text` cannot be a subject of any kind, reserved ones included: for raw publishing and subscribing,
/// where users name whole subjects.
pub(crate) fn raw_flaw(text: &str, may_be_pattern: bool) -> Option<&'static str> {
    if text.len() > MAX_SUBJECT_LEN {
        return Some("it has more than 3,072 bytes, and NATS takes no longer ones");
    }
    syntax_flaw(text, may_be_pattern)
}

/// Returns why `text` is no subject, or no pattern, whatever its length.
pub(crate) fn syntax_flaw(text: &str, may_be_pattern: bool) -> Option<&'static str> {
    let mut tokens = text.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token.is_empty() {
            return Some("it has an empty token");
        }
        if token.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Some("it has white space or a control character");
        }
        if matches!(token, "*" | ">") && !may_be_pattern {
            return Some("it has a wildcard");
        }
        if token == ">" && tokens.peek().is_some() {
            return Some("`>` can only be the last token");
        }
    }
    None
}

/// Returns whether any subject matches both patterns.
///
/// Calls and stored events must not overlap: JetStream would store each call and reply to it in the service's place.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    let (mut left, mut right) = (one.split('.'), other.split('.'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

/// Returns whether a subscription to `pattern` receives messages to `subject`, as nats-server decides it.
pub(crate) fn matches(pattern: &str, subject: &str) -> bool {
    // Nearly all patterns that do not match differ before their first wildcard, which takes no search for dots to see.
    let is_wildcard = |byte: u8| matches!(byte, b'*' | b'>');
    let mut bytes = pattern.bytes().zip(subject.bytes());
    let end_of_same = bytes.find(|&(wanted, byte)| wanted != byte || is_wildcard(wanted));
    if end_of_same.is_some_and(|(wanted, _)| !is_wildcard(wanted)) {
        return false;
    }
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Returns whether `pattern` holds a wildcard. A `*` or `>` within a longer token is none.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    pattern.split('.').any(|token| matches!(token, "*" | ">"))
}

/// Appends `text` to `buffer` as one token, percent-encoded so that no text can add a token, become a
/// wildcard or break the line of the NATS protocol (docs/PROTOCOL.md, EVENT-4).
///
/// An empty text becomes a lone `%`.
pub(crate) fn escape(text: &str, buffer: &mut BytesMut) {
    if text.is_empty() {
        return buffer.put_slice(EMPTY.as_bytes());
    }
    // Most texts have nothing to escape, and then this is all the room they need.
    buffer.reserve(text.len());
    for part in utf8_percent_encode(text, ESCAPED) {
        buffer.put_slice(part.as_bytes());
    }
}

/// Returns the text that [`escape`] wrote as `token`; `None` for a token that it never writes: one
/// with a `%` that begins no escape, one that is not UTF-8, an empty one.
pub(crate) fn unescape(token: &str) -> Option<String> {
    if token == EMPTY {
        return Some(String::new());
    }
    let begins_with_digits = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    // `percent_encoding` leaves a malformed escape as it is.
    if token.is_empty() || !token.split('%').skip(1).all(begins_with_digits) {
        return None;
    }
    let text = percent_decode_str(token).decode_utf8().ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_the_subjects_that_nats_routes_to_them() {
        let check = |pattern: &str, subject: &str, expected: bool| {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        };
        check("a.b", "a.b", true);
        check("a.b", "a.b.c", false);
        check("a.b.c", "a.b", false);
        check("a.*", "a.b", true);
        check("a.*", "a", false);
        check("a.*", "a.b.c", false);
        check("*.b", "a.b", true);
        check("a.>", "a.b.c", true);
        check("a.>", "a", false);
        check(">", "a", true);
        check("a.*.c", "a.b.c", true);
        check("a*", "ab", false);
    }

    #[test]
    fn patterns_overlap_where_a_subject_matches_both() {
        let check = |one: &str, other: &str, expected: bool| {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        };
        check("a.b", "a.b", true);
        check("a.*", "*.b", true);
        check("a.*", "b.*", false);
        check("a.>", "a.b.*.d", true);
        check("a.>", "a", false);
        check("a.*", "a.b.c", false);
        check(">", "a._i.x.>", true);
    }

    #[test]
    fn subjects_that_nats_cannot_route_are_rejected() {
        let check = |text: &str, may_be_pattern: bool, is_right: bool| {
            let flaw = raw_flaw(text, may_be_pattern);
            assert_eq!(flaw.is_none(), is_right, "{text}: {flaw:?}");
        };
        check("a.b", false, true);
        check("a.*.>", true, true);
        check("a.*", false, false);
        check("a.>.b", true, false);
        check("", true, false);
        check("a..b", true, false);
        check("a b", true, false);
        check("a\r\nPUB x", true, false);
        check(&"a".repeat(MAX_SUBJECT_LEN), false, true);
        check(&"a".repeat(MAX_SUBJECT_LEN + 1), false, false);
    }

    #[test]
    fn literal_tokens_that_break_routing_or_are_reserved_are_rejected() {
        let check = |text: &str, expected: Option<&str>| {
            let found = literal_flaw(text);
            match expected {
                None => assert_eq!(found, None, "{text}"),
                Some(part) => assert!(found.is_some_and(|flaw| flaw.contains(part)), "{text}"),
            }
        };
        check("staging", None);
        check("eu.staging", None);
        check("", Some("empty"));
        check("a..b", Some("empty token"));
        check("a b", Some("white space"));
        check("a.*", Some("wildcard"));
        check("a>", Some("wildcard"));
        check("_a", Some("reserved"));
        check("$SRV", Some("reserved"));
        check(&"a".repeat(MAX_LITERAL_LEN), None);
        check(
            &"a".repeat(MAX_LITERAL_LEN + 1),
            Some("more than 256 bytes"),
        );
    }

    #[test]
    fn a_text_is_one_token_and_is_read_back() {
        let check = |text: &str, token: &str| {
            let mut buffer = BytesMut::new();
            escape(text, &mut buffer);
            assert_eq!(buffer, token.as_bytes(), "{text:?}");
            assert_eq!(unescape(token).as_deref(), Some(text), "{token}");
        };
        check("", "%");
        check("%", "%25");
        check("BTC-USD_1~", "BTC-USD_1~");
        check("a.b", "a%2Eb");
        check("*", "%2A");
        check(">", "%3E");
        check("a b\r\n\0\u{7f}", "a%20b%0D%0A%00%7F");
        check("ä☺", "%C3%A4%E2%98%BA");
    }

    #[test]
    fn only_tokens_that_a_text_can_have_written_are_read() {
        let check = |token: &str, text: Option<&str>| {
            assert_eq!(unescape(token).as_deref(), text, "{token}");
        };
        // Another implementation may use lower case, or leave out an escape that is not needed.
        check("%2e%2E!", Some("..!"));
        check("", None);
        check("a%", None);
        check("a%2", None);
        check("%%41", None);
        check("%+5", None);
        check("%zz", None);
        check("%C3", None);
        check("%E2%98", None);
    }
}
