//! The byte that frames begin with, and the payload of a request that opens a stream and carries no message
//! (docs/PROTOCOL.md, FRAME-1 and STREAM-4).

use bytes::Bytes;

/// First byte of every frame, before its `micro.v1.Frame`: it states which end has sent the frame.
///
/// No protobuf message begins with either, tags with the wire type 7, which does not exist; nor does any JSON. So no
/// plain reply can be taken for a frame: a second responder, of another queue group or a monitor, replies under the
/// subject that the frames of a stream come to, and its message may well be a valid `micro.v1.Frame`. Nor can a frame
/// that comes back to its sender be taken for one of the peer: a responder that repeats what it gets sends a client's
/// frames to that subject, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameMark {
    OfClient = 0x07,
    OfServer = 0x0f,
}

/// Payload of an opening without a message: field 15 of the wire type 7, and a varint that is too long.
const OPENING: [u8; 12] = {
    let mut bytes = [0xff; 12];
    bytes[0] = 15 << 3 | 7;
    bytes
};

impl FrameMark {
    pub(crate) const fn byte(self) -> u8 {
        self as u8
    }

    /// Returns the mark of the frames that the other end sends.
    pub(crate) const fn of_peer(self) -> Self {
        match self {
            Self::OfClient => Self::OfServer,
            Self::OfServer => Self::OfClient,
        }
    }

    /// Returns whether a payload is a frame of this end.
    pub(crate) fn begins(self, payload: &[u8]) -> bool {
        payload.first() == Some(&self.byte())
    }
}

/// Returns the payload of an opening without a message.
///
/// An empty payload would be a valid message whose fields all have their defaults: a service that does not know
/// streams would run its handler on it. So would one that begins with the mark of a client's frames, whose field number
/// 0 is the end of the message to some decoders, such as JavaScript's pbf. A field of the wire type 7 alone is refused
/// by every decoder but those that skip an unknown wire type, such as Python's betterproto, or that read a field as its
/// number says, such as protobufjs; the varint behind it is refused by them, too.
pub(crate) fn opening_payload() -> Bytes {
    Bytes::from_static(&OPENING)
}

#[cfg(test)]
#[path = "opening_tests.rs"]
mod tests;
