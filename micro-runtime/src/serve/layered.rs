//! A handler behind the middleware of its server, its service and its method.

use std::sync::Arc;

use bytes::Bytes;

use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::endpoint::{Handler, HandlerFuture};
use crate::middleware::{End, Next, Request, Response, ResponseFuture};

/// Puts stacks around a handler, the outermost first. Without any the handler stays as it is.
pub(crate) fn layered(
    handler: Arc<dyn Handler>,
    method: &'static MethodDescriptor,
    stacks: [Next; 3],
) -> Arc<dyn Handler> {
    if stacks.iter().all(Next::is_empty) {
        return handler;
    }
    let end: Arc<dyn End> = Arc::new(Inside(handler));
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

/// The handler behind all layers.
struct Inside(Arc<dyn Handler>);

impl End for Inside {
    fn call(&self, request: Request) -> ResponseFuture {
        let handler = Arc::clone(&self.0);
        Box::pin(async move {
            let outer = match request.context() {
                Some(outer) => outer.with_metadata(request.metadata().clone()),
                None => Context::for_test(),
            };
            let payload = handler
                .call(outer.clone(), request.payload().clone())
                .await?;
            Ok(Response::new(payload, outer.take_answer_metadata()))
        })
    }
}
