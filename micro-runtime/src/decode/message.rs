//! Messages while they are decoded: on which thread, and at a server with the memory of their elements.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use crate::decode::offload::offload;
use crate::decode::scope::DecodeScope;
use crate::memory_budget::HeldBytes;
use crate::status::Status;
use crate::wire;

/// Minimum length in bytes of a message in protobuf that is decoded on a thread for blocking work: 1 ms of work or so.
pub(crate) const MIN_OFFLOADED_PROTOBUF: usize = 256 * 1024;
/// Minimum length in bytes of a message that is converted by descriptors, as of JSON, on a thread for blocking work: it
/// takes eight times as long.
const MIN_OFFLOADED_CONVERSION: usize = 32 * 1024;

/// A message, and the memory of its elements, which counts as long as this is kept.
pub(crate) struct Decoded<M> {
    pub(crate) message: M,
    pub(crate) held: HeldBytes,
}

/// A message that is decoded on a thread for blocking work.
pub(crate) type DecodingFuture<M> =
    Pin<Box<dyn Future<Output = Result<Decoded<M>, Status>> + Send>>;

/// Decodes a request; `name` is the full name of its message. Without a scope, as in a unit test, nothing is counted.
///
/// # Errors
///
/// `INVALID_ARGUMENT` for what is no message of its type, `RESOURCE_EXHAUSTED` where the memory is not left.
pub(crate) async fn decode_request<M: prost::Message + Default + 'static>(
    scope: Option<&DecodeScope>,
    payload: Bytes,
    name: &'static str,
) -> Result<Decoded<M>, Status> {
    if payload.len() < MIN_OFFLOADED_PROTOBUF {
        return decode_request_here(scope, payload, name);
    }
    let decode = move |scope: Option<&_>, payload| decode_request_here(scope, payload, name);
    offload_call(scope, payload, decode).await
}

/// Decodes a request as [`decode_request`] does, on this thread.
///
/// # Errors
///
/// As [`decode_request`].
pub(crate) fn decode_request_here<M: prost::Message + Default>(
    scope: Option<&DecodeScope>,
    payload: Bytes,
    name: &str,
) -> Result<Decoded<M>, Status> {
    let held = match scope {
        Some(scope) => scope.hold_elements(name, &payload)?,
        None => HeldBytes::uncounted(),
    };
    let message = wire::decode_request(payload, name)?;
    Ok(Decoded { message, held })
}

/// Decodes a reply by `decode`, on a thread for blocking work if it is long.
///
/// # Errors
///
/// That of `decode`; `UNAVAILABLE` if the runtime shuts down meanwhile.
pub(crate) async fn decode_reply<M: Send + 'static>(
    payload: Bytes,
    name: &'static str,
    decode: fn(Bytes, &str) -> Result<M, Status>,
) -> Result<M, Status> {
    match payload.len() < MIN_OFFLOADED_PROTOBUF {
        true => decode(payload, name),
        false => offload(payload, move |payload| decode(payload, name)).await?,
    }
}

/// Converts a message by descriptors, on a thread for blocking work if it is long.
///
/// # Errors
///
/// That of `convert`; `UNAVAILABLE` if the runtime shuts down meanwhile.
pub(crate) async fn convert<T: Send + 'static>(
    scope: Option<&DecodeScope>,
    message: Bytes,
    convert: impl FnOnce(Option<&DecodeScope>, Bytes) -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    match message.len() < MIN_OFFLOADED_CONVERSION {
        true => convert(scope, message),
        false => offload_call(scope, message, convert).await,
    }
}

/// Runs `work`, which converts a message of so many bytes by descriptors and is not counted, on a thread for blocking
/// work if that is long.
///
/// # Errors
///
/// That of `work`; `UNAVAILABLE` if the runtime shuts down meanwhile.
#[cfg(feature = "json")]
pub(crate) async fn convert_own<T: Send + 'static>(
    len: usize,
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    match len < MIN_OFFLOADED_CONVERSION {
        true => work(),
        false => offload(Bytes::new(), |_| work()).await?,
    }
}

/// Runs `work` on a thread for blocking work, with the permits of the call and up to its deadline.
async fn offload_call<T: Send + 'static>(
    scope: Option<&DecodeScope>,
    message: Bytes,
    work: impl FnOnce(Option<&DecodeScope>, Bytes) -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let scope = scope.cloned();
    offload(message, move |message| {
        let _permit = scope.as_ref().and_then(DecodeScope::hold_permit);
        let check_deadline = || scope.as_ref().map_or(Ok(()), DecodeScope::check_deadline);
        check_deadline()?;
        let done = work(scope.as_ref(), message)?;
        check_deadline()?;
        Ok(done)
    })
    .await?
}
