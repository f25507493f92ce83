//! `Printable`: text of a peer in logs and reports, where it must not pass for lines of their own.

use std::fmt;
use std::fmt::Write as _;

/// Shows a value without control characters, which are escaped as in Rust: `\n` for a line break, which would begin a
/// forged line, and `\u{1b}` for the beginning of a terminal's commands. So are the separators of lines and the marks
/// of direction of Unicode. All else is shown as it is.
pub(crate) struct Printable<T>(pub(crate) T);

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, found) in text.char_indices().filter(|(_, found)| is_escaped(*found)) {
            self.0.write_str(&text[plain..at])?;
            write!(self.0, "{}", found.escape_debug())?;
            plain = at + found.len_utf8();
        }
        self.0.write_str(&text[plain..])
    }
}

fn is_escaped(found: char) -> bool {
    found.is_control()
        || matches!(found, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_begins_a_line_or_commands_a_terminal() {
        let check = |text: &str, expected: &str| assert_eq!(Printable(text).to_string(), expected);
        check("", "");
        check("`a.B` {\"x\"} \\ ä 日本 🦀", "`a.B` {\"x\"} \\ ä 日本 🦀");
        check("ok\r\n2026 ERROR forged\n", "ok\\r\\n2026 ERROR forged\\n");
        check("\u{1b}[2J\0\t", "\\u{1b}[2J\\0\\t");
        check("\u{85}a\u{2028}b\u{202e}c", "\\u{85}a\\u{2028}b\\u{202e}c");
        assert_eq!(
            format!("{:>9}", Printable(format_args!("{}-{}", 1, "\n"))),
            "1-\\n"
        );
    }
}
