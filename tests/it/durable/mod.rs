//! Durable events: declared streams, acknowledged publishing, durable consumers, and replay.

mod consume;
mod crash;
mod dead_letter_stream;
mod dead_letters;
mod delete_markers;
mod differences;
mod domains;
mod golden_bytes;
mod logged_failures;
mod malformed;
pub(crate) mod market;
mod missing_streams;
mod publish;
mod publish_load;
mod raw_api;
pub(crate) mod recorder;
mod recorder_files;
mod recovery;
mod replay;
mod states;
mod stopping;
mod stream_declarations;
