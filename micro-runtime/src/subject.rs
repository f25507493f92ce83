//! NATS subjects as text: which are well formed, which pattern covers which. Pure.

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
