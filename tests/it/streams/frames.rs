//! Frames of the stream protocol, encoded and decoded by hand as protobuf fields.

use micro_runtime::Code;

pub(super) const MORE: u64 = 1;
pub(crate) const END: u64 = 2;
pub(crate) const RESET: u64 = 4;
pub(crate) const PING: u64 = 8;
pub(crate) const ACCEPT: u64 = 16;
pub(crate) const OPEN: u64 = 32;

fn encode_varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// Takes a varint off the front of `rest`.
fn decode_varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0_u64;
    for shift in 0.. {
        let byte = rest[0];
        *rest = &rest[1..];
        value |= u64::from(byte & 0x7f) << (7 * shift);
        if byte < 0x80 {
            return value;
        }
    }
    value
}

/// Encodes a varint field.
pub(crate) fn number_field(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], encode_varint(value)].concat()
}

/// Encodes a length-delimited field.
pub(crate) fn bytes_field(field: u8, value: &[u8]) -> Vec<u8> {
    [
        vec![field << 3 | 2],
        encode_varint(value.len() as u64),
        value.to_vec(),
    ]
    .concat()
}

/// Mark of the frames of clients.
pub(crate) const OF_CLIENT: u8 = 0x07;
/// Mark of the frames of servers.
pub(crate) const OF_SERVER: u8 = 0x0f;

/// Returns a frame of a client with these fields: they follow its mark.
pub(crate) fn client_frame(fields: impl AsRef<[u8]>) -> Vec<u8> {
    [&[OF_CLIENT], fields.as_ref()].concat()
}

/// Returns a frame of a server with these fields.
pub(crate) fn server_frame(fields: impl AsRef<[u8]>) -> Vec<u8> {
    [&[OF_SERVER], fields.as_ref()].concat()
}

/// Returns the last value of a field, of a frame or another message: bytes, or a varint as eight little-endian bytes.
pub(crate) fn find_field(frame: &[u8], wanted: u8) -> Option<Vec<u8>> {
    let mut rest = match frame {
        [OF_CLIENT | OF_SERVER, fields @ ..] => fields,
        message => message,
    };
    let mut found = None;
    while !rest.is_empty() {
        let key = decode_varint(&mut rest);
        let value = match key & 7 {
            0 => decode_varint(&mut rest).to_le_bytes().to_vec(),
            _ => {
                let length = usize::try_from(decode_varint(&mut rest)).unwrap();
                let value = rest[..length].to_vec();
                rest = &rest[length..];
                value
            }
        };
        if key >> 3 == u64::from(wanted) {
            found = Some(value);
        }
    }
    found
}

/// Returns the flags of a frame; a frame without the field has none.
pub(crate) fn flags(frame: &[u8]) -> u64 {
    find_field(frame, 3).map_or(0, |flags| flags[0].into())
}

/// Returns the code of the status in a frame.
pub(crate) fn status_code(frame: &[u8]) -> Option<Code> {
    let status = find_field(frame, 7)?;
    Code::from_number(i32::from(find_field(&status, 1)?[0]))
}
