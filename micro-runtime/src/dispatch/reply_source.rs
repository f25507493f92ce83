//! `ReplySource`: the reply messages of one call, encoded when there is room for them.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use pin_project_lite::pin_project;

use crate::memory_budget::HeldBytes;
use crate::status::Status;
use crate::stream::{FrameWriter, ReplyStream};

/// The replies of a running call.
pub(crate) type ReplyWriter = Pin<Box<dyn ReplySource>>;

/// Replies that are encoded straight into a frame when it has room.
///
/// The frame asks for messages, and not the other way round: so a handler's stream is polled only while
/// credits last, and many messages share one frame without a copy and without a queue between them.
pub(crate) trait ReplySource: Send {
    /// Writes as many replies as are ready and have room, at least one unless the replies end.
    ///
    /// `Pending` means that nothing was written. A source that has written something and would wait
    /// returns [`WriteProgress::Flush`] instead, so that the messages do not wait for the next one.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        writer: &mut FrameWriter,
    ) -> Poll<WriteProgress>;
}

/// State of a call's replies after a write. What the write has put into its frame is sent in either case.
pub(crate) enum WriteProgress {
    /// Nothing more is ready, or there is no more room.
    Flush,
    /// The replies have ended, with the outcome of the call.
    End(Result<(), Status>),
}

/// Returns the replies of a handler's stream. The first error ends them: what the stream would yield after
/// it is not asked for.
///
/// `held` is the memory of the request, which the stream may keep.
pub(super) fn streamed<M: prost::Message + 'static>(
    replies: impl ReplyStream<M>,
    held: Option<HeldBytes>,
) -> ReplyWriter {
    Box::pin(StreamedReplies {
        replies,
        _held: held,
        message: std::marker::PhantomData,
    })
}

pin_project! {
    struct StreamedReplies<R, M> {
        #[pin]
        replies: R,
        _held: Option<HeldBytes>,
        message: std::marker::PhantomData<fn() -> M>,
    }
}

/// The encoded reply of a method that has one. It goes into the last frame, together with its end.
pub(super) struct SingleReply(pub(super) Bytes);

impl<M: prost::Message, R: ReplyStream<M>> ReplySource for StreamedReplies<R, M> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        writer: &mut FrameWriter,
    ) -> Poll<WriteProgress> {
        let mut replies = self.project().replies;
        while writer.has_room() {
            let next = match replies.as_mut().poll_next(cx) {
                Poll::Pending if !writer.is_empty() => return Poll::Ready(WriteProgress::Flush),
                polled => ready!(polled),
            };
            match next {
                Some(Ok(message)) => writer.write(&message),
                Some(Err(status)) => {
                    // The reason of a nested call's failure is no reason of this handler's failure.
                    let status = status.with_reason(None);
                    return Poll::Ready(WriteProgress::End(Err(status)));
                }
                None => return Poll::Ready(WriteProgress::End(Ok(()))),
            }
        }
        Poll::Ready(WriteProgress::Flush)
    }
}

impl ReplySource for SingleReply {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        writer: &mut FrameWriter,
    ) -> Poll<WriteProgress> {
        writer.write_encoded(std::mem::take(&mut self.0));
        Poll::Ready(WriteProgress::End(Ok(())))
    }
}
