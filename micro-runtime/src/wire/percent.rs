//! Percent-encoded text in header values, as in gRPC's `grpc-message` (docs/PROTOCOL.md, GEN-6), cut at a
//! limit. Pure.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// Bytes that gRPC escapes: everything but printable ASCII, and the escape character itself.
///
/// CR and LF are among them, so that no text can end a header line.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Returns `text` percent-encoded in at most `limit` bytes, cut between characters.
///
/// Cut between characters and not between bytes: half of an escaped character would be read back as
/// U+FFFD.
pub(crate) fn percent_encode(text: &str, limit: usize) -> String {
    let mut length = 0;
    let end = text.char_indices().find_map(|(at, character)| {
        let mut utf8 = [0; 4];
        length += utf8_percent_encode(character.encode_utf8(&mut utf8), ESCAPED)
            .map(str::len)
            .sum::<usize>();
        (length > limit).then_some(at)
    });
    utf8_percent_encode(&text[..end.unwrap_or(text.len())], ESCAPED).to_string()
}

/// Returns the text that [`percent_encode`] got; a `%` that begins no escape stands for itself.
pub(crate) fn percent_decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_encoded_up_to_the_limit_and_read_back() {
        let check = |text: &str, limit: usize, expected: &str, decoded: &str| {
            let encoded = percent_encode(text, limit);
            assert_eq!(encoded, expected, "{text:?} in {limit} bytes");
            assert_eq!(percent_decode(&encoded), decoded);
        };
        check("", 9, "", "");
        check("plain text ~", 12, "plain text ~", "plain text ~");
        check("plain text ~", 11, "plain text ", "plain text ");
        check("a\r\nb\u{7f}", 99, "a%0D%0Ab%7F", "a\r\nb\u{7f}");
        check("100 %", 7, "100 %25", "100 %");
        check("100 %", 6, "100 ", "100 ");
        check("\u{263a}!", 9, "%E2%98%BA", "\u{263a}");
        check("\u{263a}!", 8, "", "");
        check("\u{263a}!", 0, "", "");
    }

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        let check = |text: &str, expected: &str| assert_eq!(percent_decode(text), expected);
        check("%41%4a%4A", "AJJ");
        check("100 %", "100 %");
        check("%4", "%4");
        check("%+5%-1", "%+5%-1");
        check("%zz%", "%zz%");
        check("%E2%98", "\u{fffd}");
    }
}
