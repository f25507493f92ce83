//! A method of a handler without its types: bytes in, bytes out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::context::Context;
use crate::dispatch::replies::{One, ReplyWriter};
use crate::dispatch::requests::Requests;
use crate::status::Status;

/// How a method is handled.
#[derive(Clone)]
pub(crate) enum MethodHandler {
    Unary(Arc<dyn Handler>),
    Streaming(Arc<dyn StreamHandler>),
}

/// A running call: the encoded reply, or the status.
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Bytes, Status>> + Send>>;

/// A streaming call that opens: its replies, or the status.
pub(crate) type OpeningFuture = Pin<Box<dyn Future<Output = Result<ReplyWriter, Status>> + Send>>;

pub(crate) trait Handler: Send + Sync {
    /// Makes the call; nothing runs until the future is polled.
    fn call(&self, ctx: Context, payload: Bytes) -> HandlerFuture;
}

pub(crate) trait StreamHandler: Send + Sync {
    /// Makes the call; nothing runs until the future is polled.
    fn call(&self, ctx: Context, requests: Requests) -> OpeningFuture;
}

impl<F: Fn(Context, Bytes) -> HandlerFuture + Send + Sync> Handler for F {
    fn call(&self, ctx: Context, payload: Bytes) -> HandlerFuture {
        self(ctx, payload)
    }
}

impl<F: Fn(Context, Requests) -> OpeningFuture + Send + Sync> StreamHandler for F {
    fn call(&self, ctx: Context, requests: Requests) -> OpeningFuture {
        self(ctx, requests)
    }
}

impl MethodHandler {
    /// The handler of a method that streams, or of a unary one whose messages come in parts.
    pub(crate) fn streaming(&self) -> Arc<dyn StreamHandler> {
        match self {
            Self::Streaming(handler) => Arc::clone(handler),
            Self::Unary(handler) => {
                let handler = Arc::clone(handler);
                Arc::new(move |ctx: Context, requests: Requests| -> OpeningFuture {
                    let handler = Arc::clone(&handler);
                    Box::pin(async move {
                        let payload = requests.one().await?;
                        let reply = handler.call(ctx, payload).await?;
                        Ok(Box::pin(One(reply)) as ReplyWriter)
                    })
                })
            }
        }
    }
}
