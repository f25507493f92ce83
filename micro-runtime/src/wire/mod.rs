//! The wire of docs/PROTOCOL.md: headers, payloads and statuses. Pure: bytes and values in and out.

mod codec;
mod content_type;
mod empty;
pub(crate) mod header;
mod metadata;
mod percent;
mod status;
pub(crate) mod subject;
mod timeout;
mod trace;

pub(crate) use codec::{
    check_not_jetstream, decode_reply, decode_reply_from, decode_request, encode,
    with_shared_buffer,
};
pub(crate) use content_type::{ContentType, check_content_type, content_type, encode_json};
pub(crate) use empty::encode_empty;
pub(crate) use metadata::{decode_metadata, encode_metadata};
#[cfg(feature = "jetstream")]
pub(crate) use percent::percent_encode;
pub(crate) use status::{
    RpcStatus, decode_status, encode_end, encode_status, encode_status_in_json,
};
pub(crate) use timeout::{DEFAULT_TIMEOUT, decode_timeout, encode_timeout};
pub(crate) use trace::{forward_trace, trace_headers};

#[cfg(test)]
mod tests;
