//! Decoding of messages of peers: large ones on threads for blocking work, and those of callers within the memory budget
//! of their server.

mod message;
mod offload;
mod scope;

pub(crate) use message::{
    Decoded, DecodingFuture, MIN_OFFLOADED_PROTOBUF, convert, decode_reply, decode_request,
    decode_request_here,
};
pub(crate) use offload::on_thread_that_may_block;
pub(crate) use scope::{DecodePermit, DecodeScope};
