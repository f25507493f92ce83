//! Streams over frames: batching, credits, order, liveness. The parts below `channel` are pure.

mod buffers;
mod channel;
mod frame;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod input;
mod lending;
mod link;
mod machine;
mod options;
mod output;
mod peer;
mod reader;
mod receiving;
mod sending;
mod streaming;

pub(crate) use channel::Channel;
#[cfg(feature = "__bench")]
pub(crate) use frame::{Body, Control, Frame};
pub(crate) use lending::EncodedMessage;
pub(crate) use link::{Link, Target};
pub(crate) use machine::Machine;
pub(crate) use options::{Limits, Open};
pub(crate) use output::reset_frame;
pub(crate) use peer::Peer;
pub(crate) use reader::Reader;
pub(crate) use sending::Writing;

#[cfg(fuzzing)]
pub use fuzz::fuzz_stream;
pub use options::StreamOptions;
pub use streaming::{ClientStream, ReplyStream, Sender, Streaming};
