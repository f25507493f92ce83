//! `Service` and `Endpoint`: what a generated server provides. Bytes in, bytes out; `serve` waits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::context::Context;
use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::options::RpcOptions;
use crate::status::Status;
use crate::streaming::{ReplyStream, Streaming};
use crate::streaming_call::unserved;
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
    pub(crate) handler: Arc<dyn Handler>,
}

/// A running call: the encoded reply, or the status.
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Bytes, Status>> + Send>>;

pub(crate) trait Handler: Send + Sync {
    /// Makes the call; nothing runs until the future is polled.
    fn call(&self, ctx: Context, payload: Bytes) -> HandlerFuture;
}

impl<F: Fn(Context, Bytes) -> HandlerFuture + Send + Sync> Handler for F {
    fn call(&self, ctx: Context, payload: Bytes) -> HandlerFuture {
        self(ctx, payload)
    }
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
        Self {
            method,
            rpc: RpcOptions::of(method.name, rpc),
            handler: Arc::new(call),
        }
    }

    /// One request, many replies.
    pub fn server_streaming<Req, Rep, F, Fut, Replies>(
        method: &'static MethodDescriptor,
        rpc: &'static [RpcOptions],
        _handler: F,
    ) -> Self
    where
        F: Fn(Context, Req) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Replies, Status>> + Send + 'static,
        Replies: ReplyStream<Rep>,
    {
        Self::unserved(method, rpc)
    }

    /// Many requests, one reply.
    pub fn client_streaming<Req, Rep, F, Fut>(
        method: &'static MethodDescriptor,
        rpc: &'static [RpcOptions],
        _handler: F,
    ) -> Self
    where
        F: Fn(Context, Streaming<Req>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Rep, Status>> + Send + 'static,
    {
        Self::unserved(method, rpc)
    }

    /// Many both ways.
    pub fn bidirectional<Req, Rep, F, Fut, Replies>(
        method: &'static MethodDescriptor,
        rpc: &'static [RpcOptions],
        _handler: F,
    ) -> Self
    where
        F: Fn(Context, Streaming<Req>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Replies, Status>> + Send + 'static,
        Replies: ReplyStream<Rep>,
    {
        Self::unserved(method, rpc)
    }

    fn unserved(method: &'static MethodDescriptor, rpc: &'static [RpcOptions]) -> Self {
        let call = move |_: Context, _: Bytes| -> HandlerFuture {
            Box::pin(std::future::ready(Err(unserved(method.full_name))))
        };
        Self {
            method,
            rpc: RpcOptions::of(method.name, rpc),
            handler: Arc::new(call),
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
