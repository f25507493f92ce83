//! The last token of a reply subject: slot and nonce in big-endian order, as digits of base64url (docs/PROTOCOL.md,
//! "Reply subjects"). Pure.
//!
//! Written out, since it runs twice for each call: the functions of the crate `base64`, which take any length, need
//! five times the instructions, or 3 % of those of a call.

/// Length of the token in bytes: 32 bits of a slot and 64 of a nonce, without padding.
pub(super) const TOKEN_LEN: usize = 16;

const BITS_OF_DIGIT: usize = 6;

/// The digits of base64url, each at the place of its value.
const DIGITS: &[u8; 1 << BITS_OF_DIGIT] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Stands for the value of a byte that is no digit.
const NO_DIGIT: u8 = u8::MAX;

/// Value of each byte as a digit.
static VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
}

/// Returns the token of one use of a slot.
#[inline]
pub(super) fn encode(slot: u32, nonce: u64) -> [u8; TOKEN_LEN] {
    let key = (u128::from(slot) << u64::BITS) | u128::from(nonce);
    std::array::from_fn(|place| {
        let digits_behind = TOKEN_LEN - 1 - place;
        let value = (key >> (BITS_OF_DIGIT * digits_behind)) as usize;
        DIGITS[value % DIGITS.len()]
    })
}

/// Returns slot and nonce of a token; `None` for a text that [`encode`] never writes.
#[inline]
pub(super) fn decode(token: &[u8; TOKEN_LEN]) -> Option<(u32, u64)> {
    let (mut key, mut all_bits) = (0, 0);
    for &digit in token {
        let value = VALUES[usize::from(digit)];
        all_bits |= value;
        key = (key << BITS_OF_DIGIT) | u128::from(value);
    }
    let slot = (key >> u64::BITS) as u32;
    (all_bits != NO_DIGIT).then_some((slot, key as u64))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn a_token_is_base64url() {
        for (slot, nonce) in [
            (0, 0),
            (255, 16),
            (u32::MAX, u64::MAX),
            (0x0102_0304, 0x0506_0708_090a_0b0c),
            (0xfbef_befb, 0xefbe_fbef_befb_efbe),
        ] {
            let key = [&slot.to_be_bytes()[..], &nonce.to_be_bytes()].concat();
            let token = encode(slot, nonce);
            assert_eq!(&token[..], URL_SAFE_NO_PAD.encode(key).as_bytes());
            assert_eq!(decode(&token), Some((slot, nonce)));
        }
    }

    #[test]
    fn a_byte_that_is_no_digit_makes_no_token() {
        for place in 0..TOKEN_LEN {
            for byte in u8::MIN..=u8::MAX {
                let mut token = encode(0x0102_0304, 0x0506_0708_090a_0b0c);
                token[place] = byte;
                let is_digit = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                assert_eq!(decode(&token).is_some(), is_digit, "{byte} at {place}");
            }
        }
    }
}
