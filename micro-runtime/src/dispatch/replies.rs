//! The reply messages of one call, encoded when there is room for them.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use pin_project_lite::pin_project;

use crate::status::Status;
use crate::stream::{FrameWriter, ReplyStream};

/// The replies of a running call.
pub(crate) type ReplyWriter = Pin<Box<dyn ReplySource>>;

/// Replies that are encoded when there is room for them.
pub(crate) trait ReplySource: Send {
    /// Writes as many replies as are ready and have room, at least one unless it is the end.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        writer: &mut FrameWriter,
    ) -> Poll<WriteProgress>;
}

/// What came of writing replies.
pub(crate) enum WriteProgress {
    /// Nothing more is ready, or there is no more room.
    Flush,
    /// That was all.
    End(Result<(), Status>),
}

pub(super) fn many<M: prost::Message + 'static>(replies: impl ReplyStream<M>) -> ReplyWriter {
    Box::pin(Many {
        replies,
        message: std::marker::PhantomData,
    })
}

pin_project! {
    struct Many<R, M> {
        #[pin]
        replies: R,
        message: std::marker::PhantomData<fn() -> M>,
    }
}

/// The reply of a method that has one.
pub(super) struct One(pub(super) Bytes);

impl<M: prost::Message, R: ReplyStream<M>> ReplySource for Many<R, M> {
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
                    let status = status.with_reason(None);
                    return Poll::Ready(WriteProgress::End(Err(status)));
                }
                None => return Poll::Ready(WriteProgress::End(Ok(()))),
            }
        }
        Poll::Ready(WriteProgress::Flush)
    }
}

impl ReplySource for One {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        writer: &mut FrameWriter,
    ) -> Poll<WriteProgress> {
        writer.write_encoded(std::mem::take(&mut self.0));
        Poll::Ready(WriteProgress::End(Ok(())))
    }
}
