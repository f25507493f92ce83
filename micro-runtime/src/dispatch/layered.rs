//! A handler behind the middleware of its server, its service and its method.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::dispatch::handler::{
    Handler, HandlerFuture, MethodHandler, OpeningFuture, StreamHandler,
};
use crate::dispatch::replies::ReplyWriter;
use crate::dispatch::requests::Requests;
use crate::middleware::{Next, Request, Response, ResponseFuture, Terminal};
use crate::status::{Code, Status};
use crate::sync::lock;

/// Puts stacks around a handler, the outermost first. Without any the handler stays as it is.
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

fn around_unary(
    handler: Arc<dyn Handler>,
    method: &'static MethodDescriptor,
    stacks: [Next; 3],
) -> Arc<dyn Handler> {
    let end: Arc<dyn Terminal> = Arc::new(UnaryTerminal(handler));
    Arc::new(move |ctx: Context, payload: Bytes| -> HandlerFuture {
        let metadata = ctx.metadata().clone();
        let stacks = stacks.clone().into_iter();
        let end = Arc::clone(&end);
        let request = Request::new(method, metadata, ctx.deadline(), payload, stacks, end);
        Box::pin(async move {
            let response = request.with_context(ctx.clone()).proceed().await?;
            let (payload, metadata) = response.into_parts();
            for (name, value) in metadata.iter() {
                ctx.set_header(name, value)?;
            }
            Ok(payload)
        })
    })
}

/// Middleware sees a streaming call open: the first message if it came with the request, and a
/// response without a message once the handler has returned its stream.
fn around_streaming(
    handler: Arc<dyn StreamHandler>,
    method: &'static MethodDescriptor,
    stacks: [Next; 3],
) -> Arc<dyn StreamHandler> {
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
        let end: Arc<dyn Terminal> = Arc::new(StreamTerminal {
            handler: Arc::clone(&handler),
            opened: Arc::clone(&opened),
        });
        let request = Request::new(method, metadata, ctx.deadline(), payload, stacks, end);
        Box::pin(async move {
            let response = request.with_context(ctx.clone()).proceed().await?;
            let (_, metadata) = response.into_parts();
            for (name, value) in metadata.iter() {
                ctx.set_header(name, value)?;
            }
            let replies = lock(&opened).replies.take();
            replies.ok_or_else(|| {
                let text =
                    "middleware answered a streaming call itself, which it can only do with an error";
                Status::new(Code::Internal, text)
            })
        })
    })
}

/// The handler behind all layers.
struct UnaryTerminal(Arc<dyn Handler>);

/// The handler of a stream behind all layers, and what passes by them.
struct StreamTerminal {
    handler: Arc<dyn StreamHandler>,
    opened: Arc<Mutex<OpenedStream>>,
}

struct OpenedStream {
    requests: Option<Requests>,
    replies: Option<ReplyWriter>,
}

impl Terminal for UnaryTerminal {
    fn call(&self, request: Request) -> ResponseFuture {
        let handler = Arc::clone(&self.0);
        Box::pin(async move {
            let outer = context(&request);
            let payload = handler
                .call(outer.clone(), request.payload().clone())
                .await?;
            Ok(Response::new(payload, outer.take_reply_metadata()))
        })
    }
}

impl Terminal for StreamTerminal {
    fn call(&self, request: Request) -> ResponseFuture {
        let handler = Arc::clone(&self.handler);
        let opened = Arc::clone(&self.opened);
        Box::pin(async move {
            let outer = context(&request);
            let requests = lock(&opened).requests.take();
            let requests = requests.ok_or_else(|| {
                Status::new(
                    Code::Internal,
                    "middleware cannot make a streaming call twice",
                )
            })?;
            let replies = handler.call(outer.clone(), requests).await?;
            lock(&opened).replies = Some(replies);
            Ok(Response::new(Bytes::new(), outer.take_headers()))
        })
    }
}

fn context(request: &Request) -> Context {
    match request.context() {
        Some(outer) => outer.with_metadata(request.metadata().clone()),
        None => Context::for_test(),
    }
}
