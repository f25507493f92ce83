//! Conversion between protobuf and canonical proto3 JSON by descriptors (docs/PROTOCOL.md, "JSON"). Pure.
//!
//! It works at the edge of a call: middleware and handlers see protobuf alone, so that a service needs no code for JSON
//! and serves it with the descriptors that it embeds. Descriptors may also come from a peer; nothing that they contain
//! may end the process.

mod depth;
mod details;
mod failure;
mod schema;
mod text;
mod transcoder;
mod transcoding_size;

pub(crate) use failure::read_failure;
pub(crate) use schema::Schema;
pub(crate) use text::{guarded, read, write};
pub(crate) use transcoder::{LazyTranscoder, Transcoder, check_request_len};
