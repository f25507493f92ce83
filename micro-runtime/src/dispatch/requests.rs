//! `Requests`: the encoded request messages of one call.
//!
//! The three variants keep the plain path free of what it does not need: a server-streaming call has no
//! reader, and messages in protobuf are decoded in their frame, without a copy and without a call through
//! a pointer for each.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _, iter, try_unfold};

use crate::decode::{DecodeScope, decode_request};
use crate::execute::BoxFuture;
use crate::memory_budget::HeldBytes;
use crate::status::{Code, Status};
use crate::stream::{MessageDecoder, MessageReader, Streaming};

/// The encoded request messages of one call.
pub(crate) enum Requests {
    /// The messages came with the request.
    Given(Vec<Bytes>),
    /// The messages come in frames, in protobuf. They are decoded where they lie in their frame.
    Received(MessageReader),
    /// The messages come in frames, in another format. They are converted one by one.
    Transcoded(MessageReader, ToProtobuf),
}

/// Converts a message in another format to protobuf, within the memory of its call.
pub(crate) type ToProtobuf =
    Arc<dyn Fn(Bytes, Option<&DecodeScope>) -> BoxFuture<'static, Bytes> + Send + Sync>;

impl Requests {
    /// Waits for the one message of a caller that sends one.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if the caller ends its direction without a message; otherwise the failure of
    /// the stream or of the conversion.
    pub(crate) async fn single(self, scope: Option<&DecodeScope>) -> Result<Bytes, Status> {
        match self {
            // An empty payload is a message, one whose fields all have their defaults.
            Self::Given(messages) => Ok(messages.into_iter().next().unwrap_or_default()),
            Self::Received(mut reader) => read_single(&mut reader).await,
            Self::Transcoded(mut reader, to_protobuf) => {
                let message = read_single(&mut reader).await?;
                to_protobuf(message, scope).await
            }
        }
    }

    /// Returns the messages as the handler reads them; `name` is the full name of their type.
    ///
    /// A message is decoded when the handler takes it, and is taken from the window then: a handler that
    /// does not read stops its caller, and costs no more than the window.
    pub(super) fn into_streaming<M: prost::Message + Default + 'static>(
        self,
        name: &'static str,
        scope: Option<&DecodeScope>,
    ) -> Streaming<M> {
        let scope = scope.cloned();
        match self {
            Self::Received(reader) => {
                Streaming::received(reader, MessageDecoder::of_requests(name, scope))
            }
            Self::Given(messages) => decoded(iter(messages).map(Ok), name, scope),
            Self::Transcoded(reader, to_protobuf) => {
                let converting = scope.clone();
                let messages = try_unfold(reader, move |mut reader| {
                    let (to_protobuf, scope) = (Arc::clone(&to_protobuf), converting.clone());
                    async move {
                        let Some(message) = reader.next_bytes().await? else {
                            return Ok(None);
                        };
                        let message = to_protobuf(message, scope.as_ref()).await?;
                        Ok(Some((message, reader)))
                    }
                });
                decoded(messages, name, scope)
            }
        }
    }
}

/// Returns the messages of a stream in protobuf. The memory of each counts until the next one is asked for.
fn decoded<M: prost::Message + Default + 'static>(
    messages: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
    name: &'static str,
    scope: Option<DecodeScope>,
) -> Streaming<M> {
    let first = (Box::pin(messages), HeldBytes::uncounted());
    Streaming::from_stream(try_unfold(first, move |(mut messages, before)| {
        let scope = scope.clone();
        async move {
            drop(before);
            let Some(message) = messages.next().await.transpose()? else {
                return Ok(None);
            };
            let decoded = decode_request(scope.as_ref(), message, name).await?;
            Ok(Some((decoded.message, (messages, decoded.held))))
        }
    }))
}

async fn read_single(reader: &mut MessageReader) -> Result<Bytes, Status> {
    let message = reader.next_bytes().await?;
    message.ok_or_else(|| Status::new(Code::InvalidArgument, "the caller sent no request message"))
}
