//! `Format`: the format in which a caller writes its messages and gets its replies.
//!
//! JSON is converted at the edge of a call, outside of all middleware: middleware and handler see
//! protobuf only, and a failure of either reaches the caller in its own format (docs/PROTOCOL.md,
//! "JSON").
//!
//! The conversion wraps the handler instead of the payloads, so that it happens where the handler runs: a
//! request that is no valid JSON fails the call as a handler fails, after its permit was taken, within its
//! span and deadline, and counted once. Protobuf stays the plain path: its handler is passed on as it is.

use std::sync::Arc;

use async_nats::HeaderMap;
use bytes::Bytes;

use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::dispatch::converter::{Converter, TranscodedReplies};
use crate::dispatch::method_handler::{
    MethodHandler, OpeningFuture, StreamingHandler, UnaryHandler,
};
use crate::dispatch::reply_source::ReplyWriter;
use crate::dispatch::requests::Requests;
use crate::execute::BoxFuture;
use crate::json::{LazyTranscoder, Transcoder};
use crate::status::Status;
use crate::wire;
use crate::wire::PayloadFormat;

/// Format of the messages of one call, in both directions. The default is plain protobuf.
#[derive(Clone, Default)]
pub(super) struct Format {
    /// Format of the request's payload, in which its replies are written, too.
    payloads: PayloadFormat,
    /// Converter by the descriptors of the service, if the messages are canonical proto3 JSON and the service serves
    /// that. Without the feature `json` it cannot exist.
    transcoder: Option<Arc<Transcoder>>,
}

impl Format {
    /// Plain protobuf.
    pub(super) const PROTOBUF: Self = Self {
        payloads: PayloadFormat::PROTOBUF,
        transcoder: None,
    };

    /// Makes the format of a call from that of the payload of its request.
    ///
    /// # Errors
    ///
    /// `UNIMPLEMENTED` if the service does not serve JSON, with the format for that failure: JSON all the same.
    pub(super) fn new(
        payloads: PayloadFormat,
        json: &LazyTranscoder,
    ) -> Result<Self, (Self, Status)> {
        let mut format = Self {
            payloads,
            transcoder: None,
        };
        if payloads.is_json() {
            match json.get() {
                Ok(transcoder) => format.transcoder = Some(transcoder),
                Err(status) => return Err((format, status)),
            }
        }
        Ok(format)
    }

    /// Returns the format of the payloads.
    pub(super) fn payloads(&self) -> PayloadFormat {
        self.payloads
    }

    /// Encodes a failure: its headers and its payload. The headers carry the code and the text in every format, for
    /// callers that read no payload.
    pub(super) fn encode_status(&self, status: &Status) -> (HeaderMap, Bytes) {
        match self.payloads.is_json() {
            false => wire::encode_status(status),
            true => wire::encode_status_in_json(status, self.transcoder.as_deref()),
        }
    }

    /// Calls a unary handler that takes and returns messages in this format.
    ///
    /// A request that cannot be converted fails with `INVALID_ARGUMENT` and the path of the field, before
    /// the handler runs; a reply with `INTERNAL`, after it has run.
    #[inline]
    pub(super) fn call_unary(
        &self,
        handler: &Arc<dyn UnaryHandler>,
        method: &'static MethodDescriptor,
        ctx: Context,
        payload: Bytes,
    ) -> BoxFuture<'static, Bytes> {
        let Some(transcoder) = &self.transcoder else {
            return handler.call(ctx, payload);
        };
        let handler = Arc::clone(handler);
        let converter = Converter {
            transcoder: Arc::clone(transcoder),
            method,
        };
        Box::pin(async move {
            let request = converter.request(payload, ctx.decode_scope()).await?;
            let reply = handler.call(ctx.clone(), request).await?;
            converter.reply(reply, ctx.decode_scope()).await
        })
    }

    /// Returns a handler for a call with frames or by hand that takes and returns messages in this format.
    /// The frames stay protobuf; each of their entries is a message.
    ///
    /// A message that came with the request is converted before the handler runs, and fails the call; one
    /// that comes in a frame is converted when the handler takes it, and is an error of its stream.
    pub(super) fn streaming(
        &self,
        handler: &MethodHandler,
        method: &'static MethodDescriptor,
    ) -> Arc<dyn StreamingHandler> {
        let handler = handler.streaming();
        let Some(transcoder) = &self.transcoder else {
            return handler;
        };
        let converter = Converter {
            transcoder: Arc::clone(transcoder),
            method,
        };
        Arc::new(move |ctx: Context, requests: Requests| -> OpeningFuture {
            let (handler, converter) = (Arc::clone(&handler), converter.clone());
            Box::pin(async move {
                let requests = match requests {
                    Requests::Given(messages) => {
                        let mut converted = Vec::with_capacity(messages.len());
                        for json in messages {
                            converted.push(converter.request(json, ctx.decode_scope()).await?);
                        }
                        Requests::Given(converted)
                    }
                    Requests::Received(reader) => {
                        Requests::Transcoded(reader, converter.clone().into_to_protobuf())
                    }
                    requests @ Requests::Transcoded(..) => requests,
                };
                let scope = ctx.decode_scope().cloned();
                let replies = handler.call(ctx, requests).await?;
                Ok(Box::pin(TranscodedReplies::new(replies, converter, scope)) as ReplyWriter)
            })
        })
    }
}
