//! `Endpoint`: one method of a generated server, without the types of its handler and messages.
//!
//! This is the only place where the generic code of a method is made: everything behind it handles bytes
//! and is compiled once for all methods. A service of a hundred methods so adds a hundred small closures
//! to a program, and not a hundred servers.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::context::Context;
use crate::decode::{Decoded, decode_request};
use crate::descriptor::MethodDescriptor;
use crate::dispatch::method_handler::{MethodHandler, OpeningFuture};
use crate::dispatch::reply_source::{ReplyWriter, SingleReply, streamed};
use crate::dispatch::requests::Requests;
use crate::dispatch::rpc_options::RpcOptions;
use crate::execute::BoxFuture;
use crate::status::Status;
use crate::stream::{ReplyStream, Streaming};
use crate::wire;

/// One method of a generated server, without the types of its handler and messages.
///
/// Generated code makes one of the four kinds, by which the runtime decodes requests, calls the handler and
/// encodes replies. A failure loses the reason that a runtime gave it on the way: a handler that passes
/// on the status of a call of its own fails for itself, and only this server's runtime may mark a status
/// as its own (docs/PROTOCOL.md, FAIL-8).
#[derive(Clone)]
#[doc(hidden)]
pub struct Endpoint {
    pub(crate) method: &'static MethodDescriptor,
    pub(crate) rpc: RpcOptions,
    pub(crate) handler: MethodHandler,
}

impl Endpoint {
    /// Makes the endpoint of a method with one request and one reply. `rpc` is the handler's
    /// `__MICRO_RPC`, and `handler` calls the method, with a clone of itself for each call.
    ///
    /// A request that cannot be decoded is the failure of the call, `INVALID_ARGUMENT`; the handler does not
    /// run. It is decoded in the first poll of the call and not before, so that its time counts as the
    /// handler's and a long one leaves the loop of the subscription.
    pub fn unary<Req, Rep, F, Fut>(
        method: &'static MethodDescriptor,
        rpc: &'static [RpcOptions],
        handler: F,
    ) -> Self
    where
        Req: prost::Message + Default + 'static,
        Rep: prost::Message + 'static,
        F: Fn(Context, Req) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Rep, Status>> + Send + 'static,
    {
        let call = move |ctx: Context, payload: Bytes| -> BoxFuture<'static, Bytes> {
            let handler = handler.clone();
            Box::pin(async move {
                let request = decode_request(ctx.decode_scope(), payload, method.input).await?;
                // Its memory counts until the reply is there.
                let Decoded {
                    message,
                    held: _held,
                } = request;
                match handler(ctx, message).await {
                    Ok(reply) => Ok(wire::encode(&reply)),
                    Err(status) => Err(status.with_reason(None)),
                }
            })
        };
        Self::new(method, rpc, MethodHandler::Unary(Arc::new(call)))
    }

    /// Makes the endpoint of a method with one request and many replies. Parameters as of
    /// [`unary`](Self::unary).
    pub fn server_streaming<Req, Rep, F, Fut, R>(
        method: &'static MethodDescriptor,
        rpc: &'static [RpcOptions],
        handler: F,
    ) -> Self
    where
        Req: prost::Message + Default + 'static,
        Rep: prost::Message + 'static,
        F: Fn(Context, Req) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Status>> + Send + 'static,
        R: ReplyStream<Rep>,
    {
        let call = move |ctx: Context, requests: Requests| -> OpeningFuture {
            let handler = handler.clone();
            Box::pin(async move {
                let payload = requests.single(ctx.decode_scope()).await?;
                let request = decode_request(ctx.decode_scope(), payload, method.input).await?;
                let Decoded { message, held } = request;
                let replies = handler(ctx, message).await;
                replies
                    .map(|replies| streamed(replies, Some(held)))
                    .map_err(|status| status.with_reason(None))
            })
        };
        Self::new(method, rpc, MethodHandler::Streaming(Arc::new(call)))
    }

    /// Makes the endpoint of a method with many requests and one reply. Parameters as of
    /// [`unary`](Self::unary).
    ///
    /// A request that cannot be decoded is an error of the handler's stream, which decides about it.
    pub fn client_streaming<Req, Rep, F, Fut>(
        method: &'static MethodDescriptor,
        rpc: &'static [RpcOptions],
        handler: F,
    ) -> Self
    where
        Req: prost::Message + Default + 'static,
        Rep: prost::Message + 'static,
        F: Fn(Context, Streaming<Req>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Rep, Status>> + Send + 'static,
    {
        let call = move |ctx: Context, requests: Requests| -> OpeningFuture {
            let handler = handler.clone();
            Box::pin(async move {
                let requests = requests.into_streaming(method.input, ctx.decode_scope());
                let reply = handler(ctx, requests).await;
                match reply {
                    Ok(reply) => Ok(Box::pin(SingleReply(wire::encode(&reply))) as ReplyWriter),
                    Err(status) => Err(status.with_reason(None)),
                }
            })
        };
        Self::new(method, rpc, MethodHandler::Streaming(Arc::new(call)))
    }

    /// Makes the endpoint of a method with many requests and many replies. Parameters as of
    /// [`unary`](Self::unary), requests as of [`client_streaming`](Self::client_streaming).
    pub fn bidirectional<Req, Rep, F, Fut, R>(
        method: &'static MethodDescriptor,
        rpc: &'static [RpcOptions],
        handler: F,
    ) -> Self
    where
        Req: prost::Message + Default + 'static,
        Rep: prost::Message + 'static,
        F: Fn(Context, Streaming<Req>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Status>> + Send + 'static,
        R: ReplyStream<Rep>,
    {
        let call = move |ctx: Context, requests: Requests| -> OpeningFuture {
            let handler = handler.clone();
            Box::pin(async move {
                let requests = requests.into_streaming(method.input, ctx.decode_scope());
                let replies = handler(ctx, requests).await;
                replies
                    .map(|replies| streamed(replies, None))
                    .map_err(|status| status.with_reason(None))
            })
        };
        Self::new(method, rpc, MethodHandler::Streaming(Arc::new(call)))
    }

    fn new(
        method: &'static MethodDescriptor,
        rpc: &'static [RpcOptions],
        handler: MethodHandler,
    ) -> Self {
        Self {
            method,
            rpc: RpcOptions::find(method.name, rpc),
            handler,
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("method", &self.method.full_name)
            .finish_non_exhaustive()
    }
}
