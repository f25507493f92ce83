//! `Service` and `Endpoint`: what a generated server provides. Bytes in, bytes out; `serve` waits.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::context::Context;
use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::dispatch::handler::{HandlerFuture, MethodHandler, OpeningFuture};
use crate::dispatch::options::RpcOptions;
use crate::dispatch::replies::{One, ReplyWriter, many};
use crate::dispatch::requests::Requests;
use crate::status::Status;
use crate::stream::{ReplyStream, Streaming};
use crate::wire;

/// A handler with the server around it that micro-build generates, as in `GreeterServer::new(…)`.
///
/// micro-build writes the implementations; there is nothing to implement by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    label = "expected a generated server, such as `GreeterServer`",
    note = "wrap the handler in the server that was generated for its service: `GreeterServer::new(handler)`"
)]
pub trait Service: Send + Sync + 'static {
    /// The service that is served.
    #[doc(hidden)]
    const SERVICE: &'static ServiceDescriptor;

    /// One endpoint per method, in the order of the descriptor.
    #[doc(hidden)]
    fn endpoints(self) -> Vec<Endpoint>;
}

/// One method of a handler, without its types.
#[derive(Clone)]
#[doc(hidden)]
pub struct Endpoint {
    pub(crate) method: &'static MethodDescriptor,
    pub(crate) rpc: RpcOptions,
    pub(crate) handler: MethodHandler,
}

impl Endpoint {
    /// One request, one reply. `rpc` is the handler's `__MICRO_RPC`.
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
        let call = move |ctx: Context, payload: Bytes| -> HandlerFuture {
            let handler = handler.clone();
            Box::pin(async move {
                let request = wire::decode_request(payload, method.input)?;
                match handler(ctx, request).await {
                    Ok(reply) => Ok(wire::encode(&reply)),
                    // What a nested call's runtime said is this handler's word now.
                    Err(status) => Err(status.with_reason(None)),
                }
            })
        };
        Self::new(method, rpc, MethodHandler::Unary(Arc::new(call)))
    }

    /// One request, many replies.
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
                let request = wire::decode_request(requests.one().await?, method.input)?;
                let replies = handler(ctx, request).await;
                replies.map(many).map_err(|status| status.with_reason(None))
            })
        };
        Self::new(method, rpc, MethodHandler::Streaming(Arc::new(call)))
    }

    /// Many requests, one reply.
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
                let reply = handler(ctx, requests.streaming(method.input)).await;
                match reply {
                    Ok(reply) => Ok(Box::pin(One(wire::encode(&reply))) as ReplyWriter),
                    Err(status) => Err(status.with_reason(None)),
                }
            })
        };
        Self::new(method, rpc, MethodHandler::Streaming(Arc::new(call)))
    }

    /// Many both ways.
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
                let replies = handler(ctx, requests.streaming(method.input)).await;
                replies.map(many).map_err(|status| status.with_reason(None))
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
            rpc: RpcOptions::of(method.name, rpc),
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
