//! The wire of docs/PROTOCOL.md: subjects, headers, payloads and failures. Pure: bytes and values in, values
//! and bytes out.
//!
//! Everything that another program on the bus can see has its form here or, for the frames of a stream, in `stream`. A
//! change of a form is a change of the protocol; golden bytes in the tests hold each of them.
//!
//! In the order in which a message passes: `codec` (one message), `payload` (the bytes of one NATS message),
//! `metadata`, `trace`, `timeout`, `expires`, `cancel`, `content_type` and `empty` (one header each), `broker_message`
//! (what no peer has sent), `opening` (what is no message), `status` (a failure). `header` and `subject` are the names,
//! with `reply_token` for those of replies and `ack_subject` for those of acknowledgments, `version` is the number of
//! all this.

#[cfg(feature = "jetstream")]
pub(crate) mod ack_subject;
mod broker_message;
mod cancel;
mod codec;
mod content_type;
mod empty;
mod expires;
pub(crate) mod header;
mod metadata;
mod opening;
mod payload;
mod percent;
pub(crate) mod refused_subject;
mod reply_token;
mod status;
pub(crate) mod subject;
mod timeout;
mod trace;
pub(crate) mod version;

pub(crate) use broker_message::BrokerMessage;
pub(crate) use cancel::{CancelToken, encode_cancel};
pub(crate) use codec::{
    acknowledged_by, decode_event, decode_reply, decode_request, decode_streamed_reply, encode,
    encode_into, with_shared_buffer,
};
pub(crate) use empty::encode_empty;
pub(crate) use expires::{encode_expires, expired_since};
pub(crate) use metadata::{
    ReceivedMetadata, decode_event_metadata, decode_metadata, decode_reply_metadata,
    encode_metadata,
};
pub(crate) use opening::{FrameMark, opening_payload};
pub(crate) use payload::{
    PayloadFormat, as_plain_payload, read_event, read_reply, read_request, write_payload,
};
#[cfg(any(test, fuzzing))]
pub(crate) use percent::percent_decode;
#[cfg(any(test, fuzzing, feature = "jetstream"))]
pub(crate) use percent::percent_encode;
pub(crate) use status::{
    RpcStatus, encode_end, encode_status, encode_status_in_json, not_a_reply, service_error_code,
};
pub(crate) use timeout::{DEFAULT_TIMEOUT, decode_timeout, encode_timeout};
pub(crate) use trace::{forward_trace, trace_headers};

#[cfg(test)]
mod failure_tests;
#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod tests;
