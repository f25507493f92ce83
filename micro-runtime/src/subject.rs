//! NATS subjects as text: which are well formed, which pattern covers which. Pure.

use bytes::{BufMut as _, BytesMut};

/// Token of an empty text, since a token cannot be empty.
const EMPTY: &str = "%";

/// Says what is wrong with `text` as one or more literal tokens that a person chose.
///
/// Wildcards, empty tokens and white space break routing; `_` and `$` begin reserved names.
pub(crate) fn literal_flaw(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
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

/// Says what is wrong with `text` as a subject of any kind, for those who name subjects themselves.
pub(crate) fn raw_flaw(text: &str, may_be_pattern: bool) -> Option<&'static str> {
    let is_misplaced = |(at, token): (usize, &str)| token == ">" && at != text.len() - 1;
    let mut start = 0;
    for token in text.split('.') {
        if token.is_empty() {
            return Some("it has an empty token");
        }
        if token.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Some("it has white space or a control character");
        }
        if matches!(token, "*" | ">") && !may_be_pattern {
            return Some("it has a wildcard");
        }
        if is_misplaced((start, token)) {
            return Some("`>` can only be the last token");
        }
        start += token.len() + 1;
    }
    None
}

/// Says whether any subject matches both patterns.
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

/// Says whether a subscription to `pattern` receives what is published to `subject`.
pub(crate) fn matches(pattern: &str, subject: &str) -> bool {
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

/// Says whether `pattern` holds a wildcard token.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    pattern.split('.').any(|token| matches!(token, "*" | ">"))
}

/// Writes a text as one token, escaped so that it cannot break out of its place.
pub(crate) fn escape(text: &str, buffer: &mut BytesMut) {
    if text.is_empty() {
        return buffer.put_slice(EMPTY.as_bytes());
    }
    buffer.reserve(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            buffer.put_u8(byte);
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |nibble: u8| DIGITS[usize::from(nibble)];
            buffer.put_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Reads one token back; `None` if it is not how a text is written.
pub(crate) fn unescape(token: &str) -> Option<String> {
    if token == EMPTY {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(digits[0])? * 16 + digit(digits[1])?;
        bytes.push(u8::try_from(value).ok()?);
        rest = tail;
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_nats_says() {
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
    fn subjects_of_any_kind_are_checked_for_what_nats_cannot_route() {
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
    }

    #[test]
    fn literals_that_break_routing_are_named() {
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
    }
}
