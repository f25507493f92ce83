//! No decoder of a plain service takes the payload of an opening for a message.

use prost::Message as _;

use super::opening_payload;

/// What a decoder lets pass that prost refuses.
#[derive(Clone, Copy, Debug)]
enum Leniency {
    /// Field number 0 ends the message, as in pbf 5.
    EndsAtFieldZero,
    /// A field of an unknown wire type has no value, as in betterproto.
    SkipsUnknownWireTypes,
    /// A field is read as its number says, whatever its wire type, as in protobufjs.
    IgnoresWireTypes(FieldKind),
}

/// Kind of the field that a lenient decoder expects, of any number.
#[derive(Clone, Copy, Debug)]
enum FieldKind {
    Varint,
    /// A length, and bytes.
    Bytes,
    /// This number of bytes.
    Fixed(usize),
}

/// Reads a varint; `None` where the bytes end or ten are not enough.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f).checked_shl(shift).unwrap_or(0);
        if *first < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Reads the value of a field; `None` if the decoder fails.
fn skip(bytes: &mut &[u8], kind: FieldKind) -> Option<()> {
    let length = match kind {
        FieldKind::Varint => return varint(bytes).map(drop),
        FieldKind::Bytes => usize::try_from(varint(bytes)?).ok()?,
        FieldKind::Fixed(length) => length,
    };
    *bytes = bytes.get(length..)?;
    Some(())
}

/// Returns whether a decoder with this leniency takes the bytes for a message.
fn accepts(leniency: Leniency, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let Some(tag) = varint(&mut bytes) else {
            return false;
        };
        let of_type = match tag & 7 {
            0 => Some(FieldKind::Varint),
            1 => Some(FieldKind::Fixed(8)),
            2 => Some(FieldKind::Bytes),
            5 => Some(FieldKind::Fixed(4)),
            _ => None,
        };
        let read = match (leniency, of_type) {
            (Leniency::EndsAtFieldZero, _) if tag >> 3 == 0 => return true,
            (Leniency::IgnoresWireTypes(kind), _) | (_, Some(kind)) => skip(&mut bytes, kind),
            (Leniency::SkipsUnknownWireTypes, None) => Some(()),
            (Leniency::EndsAtFieldZero, None) => None,
        };
        if read.is_none() {
            return false;
        }
    }
    true
}

#[test]
fn no_lenient_decoder_takes_the_payload_of_an_opening_for_a_message() {
    for leniency in [
        Leniency::EndsAtFieldZero,
        Leniency::SkipsUnknownWireTypes,
        Leniency::IgnoresWireTypes(FieldKind::Varint),
        Leniency::IgnoresWireTypes(FieldKind::Bytes),
        Leniency::IgnoresWireTypes(FieldKind::Fixed(4)),
        Leniency::IgnoresWireTypes(FieldKind::Fixed(8)),
    ] {
        assert!(accepts(leniency, b""), "{leniency:?}");
        assert!(!accepts(leniency, &opening_payload()), "{leniency:?}");
    }
    // Each leniency matters: these bytes would be a message.
    assert!(accepts(Leniency::EndsAtFieldZero, b"\x07\xff"));
    assert!(accepts(Leniency::SkipsUnknownWireTypes, b"\x7f"));
    let varint = Leniency::IgnoresWireTypes(FieldKind::Varint);
    assert!(accepts(varint, b"\x7f\x01"));
}

#[test]
fn prost_refuses_the_payload_of_an_opening() {
    assert!(<()>::decode(opening_payload()).is_err());
    assert!(String::decode(opening_payload()).is_err());
}
