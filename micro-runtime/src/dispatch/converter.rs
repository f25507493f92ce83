//! `Converter`: converts the messages of one method between JSON and protobuf, long ones on threads for blocking work.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;

use crate::decode::{DecodeScope, convert};
use crate::descriptor::MethodDescriptor;
use crate::dispatch::reply_source::{ReplySource, ReplyWriter, WriteProgress};
use crate::dispatch::requests::ToProtobuf;
use crate::execute::BoxFuture;
use crate::json::Transcoder;
use crate::status::Status;
use crate::stream::FrameWriter;

/// Converts the messages of one method. Cheap to clone.
#[derive(Clone)]
pub(super) struct Converter {
    pub(super) transcoder: Arc<Transcoder>,
    pub(super) method: &'static MethodDescriptor,
}

impl Converter {
    /// Converts a request to protobuf. What it takes meanwhile counts in the memory of the call.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for text that is not the method's message, `RESOURCE_EXHAUSTED` for a text that is too long,
    /// and where the memory is not left.
    pub(super) async fn request(
        &self,
        json: Bytes,
        scope: Option<&DecodeScope>,
    ) -> Result<Bytes, Status> {
        let Self { transcoder, method } = self.clone();
        let length = json.len();
        convert(scope, json, move |scope, json| {
            let hold = |bytes| {
                let held = scope.map(|scope| scope.hold(bytes, method.input, length));
                held.transpose()
            };
            transcoder.request(method, &json, hold)
        })
        .await
    }

    /// Converts a reply to JSON.
    ///
    /// # Errors
    ///
    /// `INTERNAL` for what JSON cannot express.
    pub(super) async fn reply(
        &self,
        reply: Bytes,
        scope: Option<&DecodeScope>,
    ) -> Result<Bytes, Status> {
        let Self { transcoder, method } = self.clone();
        let convert_reply = move |_: Option<&_>, reply| transcoder.reply(method, reply);
        convert(scope, reply, convert_reply).await
    }

    /// Returns the conversion of the requests of a stream.
    pub(super) fn into_to_protobuf(self) -> ToProtobuf {
        Arc::new(move |json, scope| {
            let (converter, scope) = (self.clone(), scope.cloned());
            Box::pin(async move { converter.request(json, scope.as_ref()).await })
        })
    }
}

/// Replies of a handler in protobuf, each of which is converted to JSON before it is written.
///
/// Each reply is encoded into a writer of its own first, since JSON cannot be made of a part of a frame.
/// That costs a copy per message, which protobuf does not pay.
pub(super) struct TranscodedReplies {
    replies: ReplyWriter,
    converter: Converter,
    scope: Option<DecodeScope>,
    /// A reply that is being converted, and the progress of the replies after it.
    converting: Option<(BoxFuture<'static, Bytes>, WriteProgress)>,
}

impl TranscodedReplies {
    pub(super) fn new(
        replies: ReplyWriter,
        converter: Converter,
        scope: Option<DecodeScope>,
    ) -> Self {
        Self {
            replies,
            converter,
            scope,
            converting: None,
        }
    }

    /// Polls for the next reply in protobuf, and begins to convert it. `Ready` with the progress if there is none.
    fn poll_reply(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<WriteProgress>> {
        let mut single = FrameWriter::for_single_message();
        let Poll::Ready(progress) = self.replies.as_mut().poll_write(cx, &mut single) else {
            return Poll::Pending;
        };
        let Some(reply) = single.into_message() else {
            return Poll::Ready(Some(progress));
        };
        let (converter, scope) = (self.converter.clone(), self.scope.clone());
        let json = async move { converter.reply(reply, scope.as_ref()).await };
        self.converting = Some((Box::pin(json), progress));
        Poll::Ready(None)
    }
}

impl ReplySource for TranscodedReplies {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        writer: &mut FrameWriter,
    ) -> Poll<WriteProgress> {
        let waiting = |writer: &FrameWriter| match writer.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(WriteProgress::Flush),
        };
        while writer.has_room() {
            let Some((mut json, progress)) = self.converting.take() else {
                match self.poll_reply(cx) {
                    Poll::Pending => return waiting(writer),
                    Poll::Ready(Some(WriteProgress::End(end))) => {
                        return Poll::Ready(WriteProgress::End(end));
                    }
                    Poll::Ready(_) => continue,
                }
            };
            match json.as_mut().poll(cx) {
                Poll::Pending => {
                    self.converting = Some((json, progress));
                    return waiting(writer);
                }
                Poll::Ready(Ok(json)) => writer.write_encoded(json),
                Poll::Ready(Err(status)) => return Poll::Ready(WriteProgress::End(Err(status))),
            }
            if let WriteProgress::End(_) = progress {
                return Poll::Ready(progress);
            }
        }
        Poll::Ready(WriteProgress::Flush)
    }
}
