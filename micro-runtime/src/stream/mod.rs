//! Streams over frames: batching, credits, order, liveness. The parts below `channel` are pure.

mod buffer_pool;
mod channel;
mod driver;
mod frame;
mod frame_sharing;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod input;
mod machine;
mod message_reader;
mod options;
mod output;
mod receiving;
mod sending;
mod stream_address;
mod streaming;

pub(crate) use channel::Channel;
pub(crate) use driver::{FrameDestination, FrameTransport};
#[cfg(feature = "__bench")]
pub(crate) use frame::{Frame, FrameBody, FrameControl};
pub(crate) use frame_sharing::EncodedMessage;
pub(crate) use machine::Machine;
pub(crate) use message_reader::MessageReader;
pub(crate) use options::{StreamHeader, StreamLimits};
pub(crate) use output::reset_frame;
pub(crate) use sending::FrameWriter;
pub(crate) use stream_address::StreamAddress;

#[cfg(fuzzing)]
pub use fuzz::fuzz_stream;
pub use options::StreamOptions;
pub use streaming::{ClientStream, ReplyStream, Sender, Streaming};
