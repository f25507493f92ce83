//! `DecodingReader`: the messages of one end of a stream, decoded as they are taken.

use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;

use crate::decode::{
    DecodeScope, Decoded, DecodingFuture, MIN_OFFLOADED_PROTOBUF, decode_reply, decode_request,
    decode_request_here,
};
use crate::memory_budget::HeldBytes;
use crate::status::Status;
use crate::stream::frame_sharing::{BorrowedMessage, EncodedMessage};
use crate::stream::message_reader::MessageReader;
use crate::wire;

/// Decodes a message of this type name.
type DecodeHere<M> = fn(Option<&DecodeScope>, Bytes, &'static str) -> Result<Decoded<M>, Status>;

/// Decodes a long message of a reader.
type DecodeLong<M> =
    fn(&MessageReader, Option<DecodeScope>, Bytes, &'static str) -> DecodingFuture<M>;

/// How the messages of a stream are decoded.
pub(crate) struct MessageDecoder<M> {
    /// Full name of the message type, for errors.
    name: &'static str,
    /// At a server.
    scope: Option<DecodeScope>,
    /// Of small messages, in place.
    borrowed: fn(BorrowedMessage<'_>, &'static str) -> Result<M, Status>,
    /// Of messages on this thread.
    owned: DecodeHere<M>,
    /// Of long messages, on a thread for blocking work, up to the deadline of the stream.
    long: DecodeLong<M>,
}

/// The receiving half of one end, with its decoder.
pub(super) struct DecodingReader<M> {
    pub(super) reader: MessageReader,
    decoder: MessageDecoder<M>,
    /// A message that was taken and is being decoded.
    running: Option<DecodingFuture<M>>,
    /// Memory of the message that was returned last.
    held: HeldBytes,
}

/// A message that was taken off the reader.
enum Taken<M> {
    Small(Result<M, Status>),
    Counted(Result<Decoded<M>, Status>),
    Long(Bytes),
}

impl<M: prost::Message + Default + 'static> MessageDecoder<M> {
    /// Returns the decoder of a handler's requests.
    pub(crate) fn of_requests(name: &'static str, scope: Option<DecodeScope>) -> Self {
        Self {
            name,
            scope,
            borrowed: |message, name| wire::decode_request(message, name),
            owned: |scope, message, name| decode_request_here(scope, message, name),
            long: |reader, scope, message, name| {
                let decoding = async move { decode_request(scope.as_ref(), message, name).await };
                Box::pin(reader.within_deadline(decoding))
            },
        }
    }

    /// Returns the decoder of a caller's replies, which count in no budget.
    pub(crate) fn of_replies(name: &'static str) -> Self {
        Self {
            name,
            scope: None,
            borrowed: |message, name| wire::decode_streamed_reply(message, name),
            owned: |_, message, name| uncounted(wire::decode_streamed_reply(message, name)),
            long: |reader, _, message, name| {
                let decode =
                    |message: Bytes, name: &str| wire::decode_streamed_reply(message, name);
                let decoding = async move { uncounted(decode_reply(message, name, decode).await) };
                Box::pin(reader.within_deadline(decoding))
            },
        }
    }
}

fn uncounted<M>(message: Result<M, Status>) -> Result<Decoded<M>, Status> {
    let held = HeldBytes::uncounted();
    message.map(|message| Decoded { message, held })
}

impl<M> MessageDecoder<M> {
    #[inline]
    fn take(&self, message: EncodedMessage<'_>) -> Taken<M> {
        match message {
            EncodedMessage::Borrowed(message) => match &self.scope {
                Some(scope) if scope.may_count(message.bytes().len()) => {
                    Taken::Counted(self.decode_counted(scope, message))
                }
                _ => Taken::Small((self.borrowed)(message, self.name)),
            },
            EncodedMessage::Owned(bytes) if bytes.len() >= MIN_OFFLOADED_PROTOBUF => {
                Taken::Long(bytes)
            }
            EncodedMessage::Owned(bytes) => {
                Taken::Counted((self.owned)(self.scope.as_ref(), bytes, self.name))
            }
        }
    }

    /// Decodes a small message whose type may grow, in place.
    fn decode_counted(
        &self,
        scope: &DecodeScope,
        message: BorrowedMessage<'_>,
    ) -> Result<Decoded<M>, Status> {
        let held = scope.hold_elements(self.name, message.bytes())?;
        let message = (self.borrowed)(message, self.name)?;
        Ok(Decoded { message, held })
    }
}

impl<M> DecodingReader<M> {
    pub(super) fn new(reader: MessageReader, decoder: MessageDecoder<M>) -> Self {
        Self {
            reader,
            decoder,
            running: None,
            held: HeldBytes::uncounted(),
        }
    }

    /// Polls for the next message; `None` after the last, or after an error of the stream. A message that cannot be
    /// decoded aborts the stream. Cancel safe: a message that was taken is kept here until it is decoded.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<M, Status>>> {
        let decoded = match &mut self.running {
            Some(running) => {
                let decoded = ready!(running.as_mut().poll(cx));
                self.running = None;
                decoded
            }
            None => {
                self.held.shrink_to(0);
                let decoder = &self.decoder;
                match ready!(self.reader.poll_next(cx, |message| decoder.take(message))) {
                    None => return Poll::Ready(None),
                    Some(Ok(Taken::Small(Ok(message)))) => return Poll::Ready(Some(Ok(message))),
                    Some(Ok(Taken::Small(Err(status))) | Err(status)) => Err(status),
                    Some(Ok(Taken::Counted(decoded))) => decoded,
                    Some(Ok(Taken::Long(bytes))) => {
                        let scope = decoder.scope.clone();
                        let decoding = (decoder.long)(&self.reader, scope, bytes, decoder.name);
                        self.running = Some(decoding);
                        return self.poll_next(cx);
                    }
                }
            }
        };
        Poll::Ready(Some(match decoded {
            Ok(Decoded { message, held }) => {
                self.held = held;
                Ok(message)
            }
            Err(status) => {
                self.reader.abort(&status);
                Err(status)
            }
        }))
    }
}
