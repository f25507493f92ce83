//! Escapes one line of text: code spans and web addresses are kept, other brackets are escaped.

/// Escapes `text` so that it contains no intra-doc links, HTML, quotes or code fences.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut rest = text;
    // A quote could contain code, and a fence at this position follows a list marker.
    if rest.starts_with(['>', '~']) {
        escaped.push('\\');
        escaped.push_str(&rest[..1]);
        rest = &rest[1..];
    }
    while let Some(first) = rest.chars().next() {
        let kept = match first {
            '\\' => escape_sequence(rest),
            '`' => code_span(rest),
            '<' => autolink(rest),
            '[' => link(rest),
            'h' if !escaped.ends_with(|before: char| before.is_alphanumeric()) => {
                let length = address(rest);
                if length > 0 {
                    escaped.push_str(&format!("<{}>", &rest[..length]));
                    rest = &rest[length..];
                    continue;
                }
                0
            }
            _ => 0,
        };
        if kept > 0 {
            escaped.push_str(&rest[..kept]);
            rest = &rest[kept..];
            continue;
        }
        if matches!(first, '[' | ']' | '<' | '`' | '\\') {
            escaped.push('\\');
        }
        escaped.push(first);
        rest = &rest[first.len_utf8()..];
    }
    escaped
}

/// Returns the length of an escape sequence at the start of `text`, or 0.
fn escape_sequence(text: &str) -> usize {
    match text.as_bytes().get(1) {
        Some(next) if next.is_ascii_punctuation() => 2,
        _ => 0,
    }
}

/// Returns the length of a code span at the start of `text`, or 0.
///
/// A code span ends at a run of as many backticks as it begins with.
fn code_span(text: &str) -> usize {
    let run = |text: &str| text.bytes().take_while(|byte| *byte == b'`').count();
    let opening = run(text);
    let mut at = opening;
    while let Some(next) = text[at..].find('`') {
        let closing = run(&text[at + next..]);
        at += next + closing;
        if closing == opening {
            return at;
        }
    }
    0
}

/// Returns the length of `<https://…>` at the start of `text`, or 0.
fn autolink(text: &str) -> usize {
    let length = address(&text[1..]);
    let is_closed = length > 0 && text[1 + length..].starts_with('>');
    if is_closed { length + 2 } else { 0 }
}

/// Returns the length of `[plain text](https://…)` at the start of `text`, or 0.
fn link(text: &str) -> usize {
    let Some(end) = text[1..]
        .find(['[', ']', '`', '<', '\\', '!'])
        .map(|end| end + 1)
    else {
        return 0;
    };
    let Some(target) = text[end..].strip_prefix("](") else {
        return 0;
    };
    let start = end + 2;
    let length = match target.starts_with('<') {
        true => autolink(target),
        false => address(target),
    };
    let is_closed = length > 0 && text[start + length..].starts_with(')');
    if is_closed { start + length + 1 } else { 0 }
}

/// Returns the length of the web address at the start of `text`, or 0.
///
/// Punctuation at the end is not part of the address, since it usually ends a sentence.
fn address(text: &str) -> usize {
    let Some(rest) = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
    else {
        return 0;
    };
    let scheme = text.len() - rest.len();
    let plain = |found: char| found.is_ascii_graphic() && !"<>()[]{}`\"\\|^".contains(found);
    let end = rest.find(|found| !plain(found)).unwrap_or(rest.len());
    let address = rest[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '*', '_', '~']);
    if address.is_empty() {
        0
    } else {
        scheme + address.len()
    }
}
