//! `Frame`: checks one NATS message of a stream and splits it into control fields and messages. Pure.

use bytes::{Buf as _, Bytes};
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key};

use crate::status::{Reason, Status};
use crate::stream::entries::{Entries, varint};
use crate::stream::frame_control::{
    ENTRY_FIELD, ENTRY_KEY, FrameControl, METADATA_FIELD, STATUS_FIELD,
};
use crate::wire::{FrameMark, RpcStatus};

/// Maximum length in bytes of the metadata that is read of a frame, with its keys and lengths: as long as 8 KiB can be
/// in one-byte names. Read whole, empty entries would take 28 times their length in memory.
const MAX_METADATA_LEN: usize = 5 * 8 * 1024;

/// A frame that arrived and is well formed.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) control: FrameControl,
    pub(crate) entries: Entries,
}

/// A violation of the protocol by the peer, as the text that completes "the peer of the stream breaks the
/// protocol".
#[derive(Debug)]
pub(crate) struct BadFrame(pub(crate) &'static str);

impl Frame {
    /// Checks a frame of the end with this mark, and reads all of it but its messages.
    ///
    /// One walk over the fields, in any order: control fields are decoded by prost, and unknown ones skipped;
    /// messages are counted and stepped over. A message with a key of another form (a longer varint, another
    /// wire type) is rejected, though protobuf permits it: the walk over the messages compares one byte, and no
    /// encoder writes it.
    ///
    /// # Errors
    ///
    /// [`BadFrame`] if the bytes do not begin with the mark, or what follows is empty or not a `micro.v1.Frame`.
    pub(crate) fn read(mark: FrameMark, mut frame: Bytes) -> Result<Self, BadFrame> {
        if !mark.begins(&frame) {
            return Err(BadFrame(match mark {
                FrameMark::OfClient => {
                    "it does not begin with the byte 07, as the frames of a client"
                }
                FrameMark::OfServer => {
                    "it does not begin with the byte 0f, as the frames of a server"
                }
            }));
        }
        frame.advance(1);
        if frame.is_empty() {
            return Err(BadFrame("it is empty"));
        }
        let mut control = FrameControl::default();
        let (mut count, mut bytes, mut metadata) = (0, 0, 0);
        let mut rest = &frame[..];
        while let Some(&key) = rest.first() {
            if key == ENTRY_KEY {
                rest = &rest[1..];
                let length = varint(&mut rest).ok_or(BadFrame("a length is malformed"))?;
                rest = rest.get(length..).ok_or(BadFrame("a message is cut"))?;
                count += 1;
                bytes += length;
                continue;
            }
            let malformed = |_| BadFrame("it is not a micro.v1.Frame");
            let (tag, wire_type) = decode_key(&mut rest).map_err(malformed)?;
            if tag == ENTRY_FIELD {
                return Err(BadFrame("a message has a key of another form"));
            }
            match (tag, wire_type) {
                (METADATA_FIELD, WireType::LengthDelimited) => {
                    let (entry, next) = length_delimited(rest)?;
                    metadata += rest.len() - next.len() + 1;
                    // Left out, as an entry that breaks the rules for metadata is.
                    if entry.is_empty() || metadata > MAX_METADATA_LEN {
                        rest = next;
                        continue;
                    }
                }
                (STATUS_FIELD, WireType::LengthDelimited) => {
                    let (status, next) = length_delimited(rest)?;
                    control.status = Some(RpcStatus::read(status).map_err(malformed)?);
                    rest = next;
                    continue;
                }
                _ => {}
            }
            control
                .merge_field(tag, wire_type, &mut rest, DecodeContext::default())
                .map_err(malformed)?;
        }
        let entries = Entries::new(frame, count, bytes);
        Ok(Self { control, entries })
    }
}

/// Splits a field behind its key into its bytes and what follows it.
fn length_delimited(mut field: &[u8]) -> Result<(&[u8], &[u8]), BadFrame> {
    let length = varint(&mut field).ok_or(BadFrame("a length is malformed"))?;
    field.split_at_checked(length).ok_or(BadFrame("it is cut"))
}

impl BadFrame {
    /// Returns the status with which the stream ends.
    pub(crate) fn into_status(self) -> Status {
        let flaw = self.0;
        Reason::BadFrame.status(format!(
            "the peer of the stream breaks the protocol: {flaw}"
        ))
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
