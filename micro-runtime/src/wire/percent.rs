//! Text in headers, percent-encoded as `grpc-message` is. Pure.

/// Encodes text as `grpc-message` does, cut at `limit` bytes between characters.
pub(crate) fn percent_encode(text: &str, limit: usize) -> String {
    let mut encoded = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        let mut utf8 = [0; 4];
        let bytes = character.encode_utf8(&mut utf8).as_bytes();
        let is_plain = matches!(bytes, [byte] if (0x20..0x7f).contains(byte) && *byte != b'%');
        let length = if is_plain { 1 } else { 3 * bytes.len() };
        if encoded.len() + length > limit {
            break;
        }
        if is_plain {
            encoded.push(character);
        } else {
            for byte in bytes {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    encoded
}

/// Reads what `percent_encode` wrote; whatever is no escape stands for itself.
pub(crate) fn percent_decode(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = (byte == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = match escaped {
            Some(byte) => {
                decoded.push(byte);
                tail.get(2..).unwrap_or_default()
            }
            None => {
                decoded.push(byte);
                tail
            }
        };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
