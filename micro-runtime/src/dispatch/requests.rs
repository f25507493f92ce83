//! `Requests`: the encoded request messages of one call.
//!
//! The three variants keep the plain path free of what it does not need: a server-streaming call has no
//! reader, and messages in protobuf are decoded in their frame, without a copy and without a call through
//! a pointer for each.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::status::{Code, Status};
use crate::stream::{EncodedMessage, MessageReader, Streaming};
use crate::wire;

/// The encoded request messages of one call.
pub(crate) enum Requests {
    /// The messages came with the request.
    Given(Vec<Bytes>),
    /// The messages come in frames, in protobuf. They are decoded where they lie in their frame.
    Received(MessageReader),
    /// The messages come in frames, in another format. They are converted one by one.
    Transcoded(MessageReader, ToProtobuf),
}

/// Converts a message in another format to protobuf.
pub(crate) type ToProtobuf = Arc<dyn Fn(Bytes) -> Result<Bytes, Status> + Send + Sync>;

impl Requests {
    /// Waits for the one message of a caller that sends one.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if the caller ends its direction without a message; otherwise the failure of
    /// the stream or of the conversion.
    pub(crate) async fn single(self) -> Result<Bytes, Status> {
        match self {
            // An empty payload is a message, one whose fields all have their defaults.
            Self::Given(messages) => Ok(messages.into_iter().next().unwrap_or_default()),
            Self::Received(mut reader) => read_single(&mut reader).await,
            Self::Transcoded(mut reader, to_protobuf) => {
                to_protobuf(read_single(&mut reader).await?)
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
    ) -> Streaming<M> {
        match self {
            Self::Received(reader) => Streaming::received(reader, decode::<M>, name),
            Self::Given(messages) => Streaming::from_stream(
                futures_util::stream::iter(messages)
                    .map(move |message| wire::decode_request(message, name)),
            ),
            Self::Transcoded(reader, to_protobuf) => Streaming::from_stream(
                futures_util::stream::try_unfold(reader, move |mut reader| {
                    let to_protobuf = Arc::clone(&to_protobuf);
                    async move {
                        let Some(message) = reader.next_bytes().await? else {
                            return Ok(None);
                        };
                        let message = wire::decode_request(to_protobuf(message)?, name)?;
                        Ok(Some((message, reader)))
                    }
                }),
            ),
        }
    }
}

async fn read_single(reader: &mut MessageReader) -> Result<Bytes, Status> {
    let message = reader.next_bytes().await?;
    message.ok_or_else(|| Status::new(Code::InvalidArgument, "the caller sent no request message"))
}

fn decode<M: prost::Message + Default>(
    message: EncodedMessage<'_>,
    name: &'static str,
) -> Result<M, Status> {
    match message {
        EncodedMessage::Borrowed(slice) => wire::decode_request(slice, name),
        EncodedMessage::Owned(bytes) => wire::decode_request(bytes, name),
    }
}
