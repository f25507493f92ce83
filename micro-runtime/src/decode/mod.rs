//! Decoding of messages of peers: large ones on threads for blocking work, and those of callers within the memory
//! budget of their server.
//!
//! | message | thread | memory |
//! |---|---|---|
//! | request, up to 1 KiB, and as much once it is decoded | the one that polls its call | bounded by the limits of calls |
//! | request, below 256 KiB | the one that polls its call | its elements, until the handler has returned |
//! | request, larger | one for blocking work | the same |
//! | message of a stream at a server | by its length, as above | its elements, until the next one is taken |
//! | request in JSON, from 32 KiB on | one for blocking work | its tree, until it is protobuf |
//! | reply at a caller, in protobuf or JSON | by its length, as above | does not count |
//! | request of a dynamic client, from 32 KiB on, which is encoded | one for blocking work | does not count |

mod message;
mod offload;
mod scope;

#[cfg(feature = "json")]
pub(crate) use message::convert_own;
pub(crate) use message::{
    Decoded, DecodingFuture, MIN_OFFLOADED_PROTOBUF, convert, decode_reply, decode_request,
    decode_request_here,
};
pub(crate) use offload::on_thread_that_may_block;
pub(crate) use scope::{DecodePermit, DecodeScope};
