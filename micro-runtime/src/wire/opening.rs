//! The payload of a request that opens a stream and carries no message (docs/PROTOCOL.md, "A streaming call").

use bytes::Bytes;

/// Returns the payload of an opening without a message.
///
/// An empty payload would be a valid message whose fields all have their defaults: a service that does not know
/// streams would run its handler on it. No protobuf message begins with this byte, a tag with the wire type 7, which
/// does not exist; nor does any JSON.
pub(crate) fn opening_payload() -> Bytes {
    Bytes::from_static(&[0x07])
}
