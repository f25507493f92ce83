//! Messages as canonical proto3 JSON, by their descriptors: JSON to protobuf and back. Pure.

mod details;
mod failure;
mod schema;
mod text;
mod transcoder;

pub(crate) use failure::read_failure;
pub(crate) use schema::Schema;
pub(crate) use text::{guarded, read, write};
pub(crate) use transcoder::{LazyTranscoder, Transcoder};
