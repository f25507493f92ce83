//! A call in the format that its caller speaks: JSON is turned around at the edge, so that the
//! middleware and the handler behind it see protobuf alone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use async_nats::HeaderMap;
use bytes::Bytes;

use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::dispatch::handler::{
    Handler, HandlerFuture, MethodHandler, OpeningFuture, StreamHandler,
};
use crate::dispatch::replies::{ReplySource, ReplyWriter, WriteProgress};
use crate::dispatch::requests::Requests;
use crate::json::Transcoder;
use crate::status::Status;
use crate::stream::FrameWriter;
use crate::wire;

/// In what a caller writes, and is answered.
#[derive(Clone, Default)]
pub(crate) enum Format {
    #[default]
    Protobuf,
    Json(Arc<Transcoder>),
}

impl Format {
    /// The headers that every message in this format has.
    pub(crate) fn headers(&self) -> Option<HeaderMap> {
        let mut headers = None;
        if let Self::Json(_) = self {
            wire::encode_json(&mut headers);
        }
        headers
    }

    /// Writes a failure.
    pub(crate) fn encode_status(&self, status: &Status) -> (HeaderMap, Bytes) {
        match self {
            Self::Protobuf => wire::encode_status(status),
            Self::Json(transcoder) => wire::encode_status_in_json(status, transcoder),
        }
    }

    /// A handler that takes and gives messages in this format.
    pub(crate) fn around_unary(
        &self,
        handler: &Arc<dyn Handler>,
        method: &'static MethodDescriptor,
    ) -> Arc<dyn Handler> {
        let handler = Arc::clone(handler);
        let Self::Json(transcoder) = self else {
            return handler;
        };
        let transcoder = Arc::clone(transcoder);
        Arc::new(move |ctx: Context, payload: Bytes| -> HandlerFuture {
            let (handler, transcoder) = (Arc::clone(&handler), Arc::clone(&transcoder));
            Box::pin(async move {
                let request = transcoder.request(method, &payload)?;
                let reply = handler.call(ctx, request).await?;
                transcoder.reply(method, reply)
            })
        })
    }

    /// The handler of a method that streams, or of a unary one whose messages come in parts.
    pub(crate) fn streaming(
        &self,
        handling: &MethodHandler,
        method: &'static MethodDescriptor,
    ) -> Arc<dyn StreamHandler> {
        let handler = handling.streaming();
        let Self::Json(transcoder) = self else {
            return handler;
        };
        let transcoder = Arc::clone(transcoder);
        Arc::new(move |ctx: Context, requests: Requests| -> OpeningFuture {
            let (handler, transcoder) = (Arc::clone(&handler), Arc::clone(&transcoder));
            Box::pin(async move {
                let of_requests = Arc::clone(&transcoder);
                let read = move |json: Bytes| of_requests.request(method, &json);
                let requests = match requests {
                    Requests::Given(messages) => {
                        let messages = messages.into_iter().map(read);
                        Requests::Given(messages.collect::<Result<_, _>>()?)
                    }
                    Requests::Received(reader) => Requests::Transcoded(reader, Arc::new(read)),
                    requests @ Requests::Transcoded(..) => requests,
                };
                let replies = handler.call(ctx, requests).await?;
                Ok(Box::pin(Transcoded {
                    replies,
                    transcoder,
                    method,
                }) as ReplyWriter)
            })
        })
    }
}

/// Replies that are turned around one by one.
struct Transcoded {
    replies: ReplyWriter,
    transcoder: Arc<Transcoder>,
    method: &'static MethodDescriptor,
}

impl ReplySource for Transcoded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        writer: &mut FrameWriter,
    ) -> Poll<WriteProgress> {
        while writer.has_room() {
            let mut one = FrameWriter::for_single_message();
            let written = match self.replies.as_mut().poll_write(cx, &mut one) {
                Poll::Ready(written) => written,
                Poll::Pending if !writer.is_empty() => return Poll::Ready(WriteProgress::Flush),
                Poll::Pending => return Poll::Pending,
            };
            if let Some(reply) = one.into_message() {
                match self.transcoder.reply(self.method, reply) {
                    Ok(json) => writer.write_encoded(json),
                    Err(status) => return Poll::Ready(WriteProgress::End(Err(status))),
                }
            }
            if let WriteProgress::End(_) = written {
                return Poll::Ready(written);
            }
        }
        Poll::Ready(WriteProgress::Flush)
    }
}
