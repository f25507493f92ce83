//! `MethodHandler`: the handler of one method without its types, bytes in and bytes out.

use std::sync::Arc;

use bytes::Bytes;

use crate::context::Context;
use crate::dispatch::reply_source::{ReplyWriter, SingleReply};
use crate::dispatch::requests::Requests;
use crate::execute::BoxFuture;

/// Handler of one method, behind whatever was put around it.
///
/// Generated code, middleware and JSON meet at these two traits, so that none of them knows the others.
#[derive(Clone)]
pub(crate) enum MethodHandler {
    Unary(Arc<dyn UnaryHandler>),
    Streaming(Arc<dyn StreamingHandler>),
}

/// The future that opens a streaming call: its replies, or the status.
///
/// It is ready when the handler has returned its stream, before the first reply: headers that were set until
/// then precede the replies. A method with one reply is ready when it has that.
pub(crate) type OpeningFuture = BoxFuture<'static, ReplyWriter>;

/// Handler of a method with one request and one reply, both encoded.
pub(crate) trait UnaryHandler: Send + Sync {
    /// Makes the call; nothing of it runs until the future is polled.
    fn call(&self, ctx: Context, payload: Bytes) -> BoxFuture<'static, Bytes>;
}

/// Handler of a method with many requests, many replies, or both, all encoded.
pub(crate) trait StreamingHandler: Send + Sync {
    /// Makes the call; nothing of it runs until the future is polled.
    fn call(&self, ctx: Context, requests: Requests) -> OpeningFuture;
}

impl<F: Fn(Context, Bytes) -> BoxFuture<'static, Bytes> + Send + Sync> UnaryHandler for F {
    fn call(&self, ctx: Context, payload: Bytes) -> BoxFuture<'static, Bytes> {
        self(ctx, payload)
    }
}

impl<F: Fn(Context, Requests) -> OpeningFuture + Send + Sync> StreamingHandler for F {
    fn call(&self, ctx: Context, requests: Requests) -> OpeningFuture {
        self(ctx, requests)
    }
}

impl MethodHandler {
    /// Returns the handler for a call with frames: its own of a streaming method, and one around a unary
    /// method whose request is sent in parts (docs/PROTOCOL.md, LARGE-1).
    pub(crate) fn streaming(&self) -> Arc<dyn StreamingHandler> {
        match self {
            Self::Streaming(handler) => Arc::clone(handler),
            Self::Unary(handler) => {
                let handler = Arc::clone(handler);
                Arc::new(move |ctx: Context, requests: Requests| -> OpeningFuture {
                    let handler = Arc::clone(&handler);
                    Box::pin(async move {
                        let payload = requests.single(ctx.decode_scope()).await?;
                        let reply = handler.call(ctx, payload).await?;
                        Ok(Box::pin(SingleReply(reply)) as ReplyWriter)
                    })
                })
            }
        }
    }
}
