//! `FrameControl`: everything in a frame but its messages, and the numbers of the wire format.
//!
//! The schema is `micro-build/proto/micro/v1/frame.proto`; docs/PROTOCOL.md, "A streaming call", has the meaning
//! of each flag and field.

use bytes::Bytes;
use prost::Message as _;

use crate::metadata::{MAX_FLAWS, Metadata};
use crate::status::Status;
use crate::wire::RpcStatus;

/// Flag: the last entry is unfinished and continues as the first entry of the next numbered frame.
pub(crate) const MORE: u32 = 1;
/// Flag: this direction is complete. From the server it carries status and trailers, and ends the call.
pub(crate) const END: u32 = 2;
/// Flag: both directions end at once, and messages that were not taken yet are discarded.
pub(crate) const RESET: u32 = 4;
/// Flag: the receiver must send a frame in reply.
pub(crate) const PING: u32 = 8;
/// Flag, from the server: names instance and stream, so that the client can send.
pub(crate) const ACCEPT: u32 = 16;
/// Flag, from the server: the handler returned its stream; the frame carries the header metadata.
pub(crate) const OPEN: u32 = 32;
/// Flag, from the server: it has begun to stop, and the stream goes on until the grace period ends.
pub(crate) const STOPPING: u32 = 64;

/// Number of the field `seq`.
pub(super) const SEQ_FIELD: u32 = 1;
/// Number of the field `status`.
pub(super) const STATUS_FIELD: u32 = 7;
/// Number of the field `metadata`.
pub(super) const METADATA_FIELD: u32 = 10;
/// Number of the field `messages`.
pub(super) const ENTRY_FIELD: u32 = 2;
/// Key of one entry of `messages`: field 2, length-delimited.
pub(super) const ENTRY_KEY: u8 = 0x12;

/// `micro.v1.Frame` without field 2, the messages. Those are neither copied nor collected; see
/// [`Entries`](crate::stream::entries::Entries).
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FrameControl {
    /// Number of the frame in its direction, from 1; 0 for a frame without messages, OPEN and END, which may be
    /// lost without loss.
    #[prost(uint64, tag = "1")]
    pub(crate) seq: u64,
    #[prost(uint32, tag = "3")]
    pub(crate) flags: u32,
    /// Number of messages that the sender of this frame has taken so far.
    #[prost(uint64, tag = "4")]
    pub(crate) taken: u64,
    /// Number of messages that the receiver of this frame may send in all.
    #[prost(uint64, tag = "5")]
    pub(crate) max_messages: u64,
    /// Number of bytes that the receiver of this frame may send in all.
    #[prost(uint64, tag = "6")]
    pub(crate) max_bytes: u64,
    #[prost(message, optional, tag = "7")]
    pub(crate) status: Option<RpcStatus>,
    #[prost(string, tag = "8")]
    pub(crate) instance: String,
    #[prost(string, tag = "9")]
    pub(crate) stream: String,
    #[prost(message, repeated, tag = "10")]
    pub(super) metadata: Vec<MetadataEntry>,
    /// In a frame without a number: number of the last numbered frame of this direction.
    #[prost(uint64, tag = "11")]
    pub(crate) last: u64,
}

/// `micro.v1.Metadata`: one header or trailer.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MetadataEntry {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

impl FrameControl {
    /// Returns whether the frame has this flag, or one of several.
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Returns the length in bytes of a frame with these fields and no messages.
    pub(crate) fn frame_len(&self) -> usize {
        1 + self.encoded_len()
    }

    /// Sets the status; `None` is success.
    pub(crate) fn with_status(mut self, status: Option<&Status>) -> Self {
        self.status = status.map(RpcStatus::new);
        self
    }

    /// Sets headers or trailers, which share one field.
    pub(crate) fn with_metadata(mut self, metadata: &Metadata) -> Self {
        self.metadata = metadata
            .iter()
            .map(|(name, value)| MetadataEntry {
                name: name.to_owned(),
                value: Bytes::copy_from_slice(value),
            })
            .collect();
        self
    }

    /// Takes the metadata out. Entries that break the rules for metadata (reserved names, over 8 KiB in all) are
    /// left out and logged: the peer's mistake must not fail a call that works without them. The rest is left out, too,
    /// after [`MAX_FLAWS`] of them.
    pub(crate) fn take_metadata(&mut self) -> Metadata {
        let mut metadata = Metadata::new();
        let mut flaws = 0;
        for entry in std::mem::take(&mut self.metadata) {
            if let Err(status) = metadata.append(&entry.name, &entry.value) {
                tracing::debug!(%status, "left out a header of a stream");
                flaws += 1;
                if flaws == MAX_FLAWS {
                    break;
                }
            }
        }
        metadata
    }
}
