//! The encoded request messages of one call.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::status::{Code, Status};
use crate::stream::{EncodedMessage, MessageReader, Streaming};
use crate::wire;

/// The encoded messages of a caller.
pub(crate) enum Requests {
    /// They came with the request.
    Given(Vec<Bytes>),
    Received(MessageReader),
    /// They are in another format, and made protobuf one by one.
    Transcoded(MessageReader, ReadRequest),
}

/// Makes protobuf of a message in another format.
pub(crate) type ReadRequest = Arc<dyn Fn(Bytes) -> Result<Bytes, Status> + Send + Sync>;

impl Requests {
    /// The one message of a caller who sends one.
    pub(crate) async fn one(self) -> Result<Bytes, Status> {
        match self {
            Self::Given(messages) => Ok(messages.into_iter().next().unwrap_or_default()),
            Self::Received(mut reader) => one_of(&mut reader).await,
            Self::Transcoded(mut reader, read) => read(one_of(&mut reader).await?),
        }
    }

    pub(super) fn streaming<M: prost::Message + Default + 'static>(
        self,
        name: &'static str,
    ) -> Streaming<M> {
        match self {
            Self::Received(reader) => Streaming::received(reader, read_request::<M>, name),
            Self::Given(messages) => Streaming::from_stream(
                futures_util::stream::iter(messages)
                    .map(move |message| wire::decode_request(message, name)),
            ),
            Self::Transcoded(reader, read) => Streaming::from_stream(
                futures_util::stream::try_unfold(reader, move |mut reader| {
                    let read = Arc::clone(&read);
                    async move {
                        let Some(message) = reader.next_bytes().await? else {
                            return Ok(None);
                        };
                        let message = wire::decode_request(read(message)?, name)?;
                        Ok(Some((message, reader)))
                    }
                }),
            ),
        }
    }
}

async fn one_of(reader: &mut MessageReader) -> Result<Bytes, Status> {
    let message = reader.next_bytes().await?;
    message.ok_or_else(|| Status::new(Code::InvalidArgument, "the caller sent no request message"))
}

fn read_request<M: prost::Message + Default>(
    piece: EncodedMessage<'_>,
    name: &'static str,
) -> Result<M, Status> {
    match piece {
        EncodedMessage::Borrowed(message) => wire::decode_request(message, name),
        EncodedMessage::Owned(bytes) => wire::decode_request(bytes, name),
    }
}
