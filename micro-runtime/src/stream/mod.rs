//! Streaming calls over frames: batching, flow control, order, liveness (docs/PROTOCOL.md, "A streaming call").
//!
//! A stream has one [`Machine`] at each end: frames and clock readings in, frames and the end of the stream out.
//! It does no I/O, starts no task and reads no clock, so that tests run two machines back to back over a wire
//! that loses, repeats, reorders and truncates frames (`machine_tests`), and a fuzzer runs one (`fuzz`).
//!
//! ```text
//! application ──▶ Sender, FrameWriter ──▶ ┌─────────┐ ──▶ driver: publishes frames, wakes for the clock
//!                                         │ Channel │
//! application ◀── MessageReader ◀──────── │ Machine │ ◀── inbox: `FrameSink::deliver`
//!                                         └─────────┘
//! ```
//!
//! | file | responsibility |
//! |---|---|
//! | `frame`, `frame_control`, `frame_body`, `entries` | one frame as bytes and back, without copying its messages |
//! | `buffer_pool`, `frame_sharing` | memory of busy streams: buffers written again, frames shared by what is read |
//! | `credit`, `options`, `stream_header`, `stream_address`, `stream_label` | windows, settings, the header `Micro-Stream`, names |
//! | `sending`, `frame_writer`; `receiving`, `fragments` | the two directions of an end, each without I/O |
//! | `machine`, `input`, `output`, `clock` | one end: its state, frames that arrive, frames it makes, time |
//! | `channel` | the machine behind a lock, with the wakers of reader, writer and driver |
//! | `frame_sink` | what arrives under the subject of a stream: frames, and what may come in place of one |
//! | `driver` | publishes what the machine makes |
//! | `server_stop`, `stopping` | the notice of a server that stops |
//! | `message_reader`, `streaming`, `sender`, `client_stream`, `reply_stream` | what applications read and write |

mod buffer_pool;
mod channel;
mod client_stream;
mod clock;
mod credit;
mod decoding_reader;
mod driver;
mod entries;
mod fragments;
mod frame;
mod frame_body;
mod frame_control;
mod frame_sharing;
mod frame_sink;
mod frame_writer;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod input;
mod machine;
mod message_reader;
mod options;
mod output;
mod receiving;
mod reply_stream;
mod sender;
mod sending;
mod server_stop;
mod stopping;
mod stream_address;
mod stream_header;
mod stream_label;
mod streaming;

pub(crate) use channel::Channel;
pub(crate) use clock::IN_PARTS;
pub(crate) use decoding_reader::MessageDecoder;
pub(crate) use driver::{FrameDestination, FrameTransport};
#[cfg(any(test, fuzzing, feature = "__bench"))]
pub(crate) use frame::Frame;
#[cfg(any(test, fuzzing, feature = "__bench"))]
pub(crate) use frame_body::FrameBody;
#[cfg(any(test, fuzzing, feature = "__bench"))]
pub(crate) use frame_control::FrameControl;
pub(crate) use frame_writer::FrameWriter;
pub(crate) use machine::Machine;
pub(crate) use message_reader::MessageReader;
pub(crate) use options::{DEFAULT_HEARTBEAT, StreamLimits};
pub(crate) use output::reset_frame;
pub(crate) use receiving::STREAM_MEMORY;
pub(crate) use stream_address::StreamAddress;
pub(crate) use stream_header::StreamHeader;
pub(crate) use stream_label::StreamLabel;

pub use client_stream::ClientStream;
#[cfg(fuzzing)]
pub use fuzz::fuzz_stream;
pub use options::StreamOptions;
pub use reply_stream::ReplyStream;
pub use sender::Sender;
pub use streaming::Streaming;
