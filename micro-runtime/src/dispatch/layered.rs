//! Puts a handler behind the middleware of its server, its service and its method.
//!
//! A request carries the stacks that it still has to pass, instead of each layer wrapping the next
//! service: so a limit in a layer of the server is one limit for all methods, and a method without
//! layers keeps its handler as it is and pays nothing.
//!
//! A call passes the stacks of server, service and method, in this order, and then its [`Terminal`], the
//! handler. All of that is one future, which the runner polls as the handler: a panic or a deadline in
//! middleware ends the call as one in the handler does.
//!
//! Metadata goes two ways. The handler gets the context of the call with the metadata as the last layer
//! left it. Headers that the handler set travel in the `Response`, where layers see and add to them, and
//! are put into the context again when the outermost layer has returned: the reply is written from there,
//! with and without middleware.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::dispatch::method_handler::{
    MethodHandler, OpeningFuture, StreamingHandler, UnaryHandler,
};
use crate::dispatch::reply_source::ReplyWriter;
use crate::dispatch::requests::Requests;
use crate::execute::BoxFuture;
use crate::middleware::{Next, Request, Response, ResponseFuture, Terminal};
use crate::status::{Code, Status};
use crate::sync::lock;

/// Puts stacks around a handler, the outermost first. A handler without any stays as it is.
pub(crate) fn layered(
    handler: MethodHandler,
    method: &'static MethodDescriptor,
    stacks: [Next; 3],
) -> MethodHandler {
    if stacks.iter().all(Next::is_empty) {
        return handler;
    }
    match handler {
        MethodHandler::Unary(handler) => {
            MethodHandler::Unary(around_unary(handler, method, stacks))
        }
        MethodHandler::Streaming(handler) => {
            MethodHandler::Streaming(around_streaming(handler, method, stacks))
        }
    }
}

/// Puts stacks around a unary handler, which are passed once for each call.
fn around_unary(
    handler: Arc<dyn UnaryHandler>,
    method: &'static MethodDescriptor,
    stacks: [Next; 3],
) -> Arc<dyn UnaryHandler> {
    let terminal: Arc<dyn Terminal> = Arc::new(UnaryTerminal(handler));
    Arc::new(
        move |ctx: Context, payload: Bytes| -> BoxFuture<'static, Bytes> {
            let metadata = ctx.metadata().clone();
            let stacks = stacks.clone().into_iter();
            let terminal = Arc::clone(&terminal);
            let request = Request::new(method, metadata, ctx.deadline(), payload, stacks, terminal);
            Box::pin(async move {
                let response = request.with_context(ctx.clone()).start().await?;
                let (payload, metadata) = response.into_parts();
                for (name, value) in metadata.iter() {
                    ctx.set_header(name, value)?;
                }
                Ok(payload)
            })
        },
    )
}

/// Puts stacks around a streaming handler, which are passed once for each call.
///
/// Middleware sees a streaming call open: the first message if it came with the request, and a
/// response without a message once the handler has returned its stream. The requests and replies
/// themselves go past it, by way of [`OpenedStream`]: a `tower` service has no place for them.
///
/// # Errors
///
/// Of the returned handler: `INTERNAL` if middleware replies itself without an error, since it has no
/// replies to offer.
fn around_streaming(
    handler: Arc<dyn StreamingHandler>,
    method: &'static MethodDescriptor,
    stacks: [Next; 3],
) -> Arc<dyn StreamingHandler> {
    Arc::new(move |ctx: Context, requests: Requests| -> OpeningFuture {
        let metadata = ctx.metadata().clone();
        let stacks = stacks.clone().into_iter();
        let payload = match &requests {
            Requests::Given(messages) => messages.first().cloned().unwrap_or_default(),
            Requests::Received(_) | Requests::Transcoded(..) => Bytes::new(),
        };
        let opened = Arc::new(Mutex::new(OpenedStream {
            requests: Some(requests),
            replies: None,
        }));
        let terminal: Arc<dyn Terminal> = Arc::new(StreamTerminal {
            handler: Arc::clone(&handler),
            opened: Arc::clone(&opened),
        });
        let request = Request::new(method, metadata, ctx.deadline(), payload, stacks, terminal);
        Box::pin(async move {
            let response = request.with_context(ctx.clone()).start().await?;
            let (_, metadata) = response.into_parts();
            for (name, value) in metadata.iter() {
                ctx.set_header(name, value)?;
            }
            let replies = lock(&opened).replies.take();
            replies.ok_or_else(|| {
                let text =
                    "middleware responded to a streaming call itself, which it can only do with an error";
                Status::new(Code::Internal, text)
            })
        })
    })
}

/// The handler of a unary method behind all layers.
struct UnaryTerminal(Arc<dyn UnaryHandler>);

/// The handler of a streaming method behind all layers.
struct StreamTerminal {
    handler: Arc<dyn StreamingHandler>,
    opened: Arc<Mutex<OpenedStream>>,
}

/// The two streams of a call, which go past its middleware. Each is taken once: the requests by the
/// handler, so that middleware cannot make the call twice, and the replies by the opened call.
///
/// The lock is never contended. It is there because a layer may move the call to another task.
struct OpenedStream {
    requests: Option<Requests>,
    replies: Option<ReplyWriter>,
}

impl Terminal for UnaryTerminal {
    fn call(&self, request: Request) -> ResponseFuture {
        let handler = Arc::clone(&self.0);
        Box::pin(async move {
            let ctx = context(&request);
            let payload = handler.call(ctx.clone(), request.payload().clone());
            Ok(Response::new(payload.await?, ctx.take_reply_metadata()))
        })
    }
}

impl Terminal for StreamTerminal {
    fn call(&self, request: Request) -> ResponseFuture {
        let handler = Arc::clone(&self.handler);
        let opened = Arc::clone(&self.opened);
        Box::pin(async move {
            let ctx = context(&request);
            let requests = lock(&opened).requests.take();
            let requests = requests.ok_or_else(|| {
                Status::new(
                    Code::Internal,
                    "middleware cannot make a streaming call twice",
                )
            })?;
            let replies = handler.call(ctx.clone(), requests).await?;
            lock(&opened).replies = Some(replies);
            Ok(Response::new(Bytes::new(), ctx.take_headers()))
        })
    }
}

/// Returns the context of the call with the metadata that middleware has left in the request.
fn context(request: &Request) -> Context {
    match request.context() {
        Some(ctx) => ctx.with_metadata(request.metadata().clone()),
        None => Context::for_test(),
    }
}
