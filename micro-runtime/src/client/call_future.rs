//! `CallFuture`: a unary call in progress, with or without middleware, before its reply is decoded.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::bus::ReceivedReply;
use crate::client::call_bounds::CallBounds;
use crate::client::request::{OutgoingRequest, RequestBody, RequestTemplate};
use crate::client::retry_loop::{Attempt as _, RetryLoop};
use crate::client::unary_exchange::UnaryExchange;
use crate::descriptor::MethodDescriptor;
use crate::middleware;
use crate::middleware::{Response, ResponseFuture, Terminal};
use crate::status::Status;
use crate::wire;
use crate::wire::ReceivedMetadata;

pin_project! {
    /// A unary call in progress: straight to the wire, or through the client's middleware.
    ///
    /// Without middleware there is no box between the caller's future and the wire. Middleware has futures
    /// of types that cannot be named here, and so costs boxes and an encoding of the request in any case.
    #[project = CallProjection]
    pub(crate) enum CallFuture<B> {
        Plain {
            #[pin]
            exchange: RetryLoop<UnaryExchange<B>>,
        },
        Layered {
            call: LayeredFuture,
            method: &'static MethodDescriptor,
            // Set with the response.
            bounds: Option<CallBounds>,
        },
    }
}

/// A unary call through middleware, whose time begins with its first poll.
type LayeredFuture = Pin<Box<dyn Future<Output = Result<(Response, CallBounds), Status>> + Send>>;

/// Reply of a unary call, still encoded.
pub(crate) enum RawReply {
    /// As it came from the wire.
    Received(ReceivedReply),
    /// As it left the client's middleware.
    Response(Response),
}

impl<B: RequestBody> CallFuture<B> {
    pub(crate) fn new(request: OutgoingRequest<B>) -> Self {
        match request.client.stacks(request.method) {
            None => Self::Plain {
                exchange: RetryLoop::new(UnaryExchange::new(request)),
            },
            Some(stacks) => Self::Layered {
                method: request.descriptor(),
                call: Box::pin(layered(request.encoded(), stacks)),
                bounds: None,
            },
        }
    }

    pub(crate) fn descriptor(&self) -> &'static MethodDescriptor {
        match self {
            Self::Plain { exchange } => exchange.attempt().request().descriptor(),
            Self::Layered { method, .. } => method,
        }
    }

    /// Returns what ends the call, once its reply is there; nothing does before.
    pub(crate) fn bounds(&self) -> CallBounds {
        match self {
            Self::Layered {
                bounds: Some(bounds),
                ..
            } => bounds.clone(),
            Self::Layered { method, .. } => CallBounds {
                method: method.full_name,
                limit: None,
                parent: None,
            },
            Self::Plain { exchange } => {
                let exchange = exchange.attempt();
                let request = exchange.request();
                CallBounds {
                    method: request.method_name(),
                    limit: exchange.time_limit(),
                    parent: request.options.message.parent.clone(),
                }
            }
        }
    }
}

impl<B: RequestBody> Future for CallFuture<B> {
    type Output = Result<RawReply, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match self.project() {
            CallProjection::Plain { exchange } => exchange.poll(cx).map_ok(RawReply::Received),
            CallProjection::Layered { call, bounds, .. } => {
                call.as_mut().poll(cx).map_ok(|(response, passed)| {
                    *bounds = Some(passed);
                    RawReply::Response(response)
                })
            }
        }
    }
}

impl RawReply {
    /// Returns the metadata that came with the reply to `method`.
    pub(crate) fn metadata(&self, method: &MethodDescriptor) -> ReceivedMetadata {
        match self {
            Self::Received(reply) => wire::decode_reply_metadata(reply.headers(), method.full_name),
            Self::Response(response) => response.reply_metadata(),
        }
    }

    pub(crate) fn into_payload(self) -> Bytes {
        match self {
            Self::Received(reply) => reply.into_payload(),
            Self::Response(response) => response.into_parts().0,
        }
    }
}

/// Makes the call through the layers. The deadline is computed before the first of them, so that the time they take
/// counts, and ends the call in them too.
///
/// `stacks` are two: the layers of the client (`ClientOptions::layer`), which are the outer ones, and those of the
/// method (`ClientOptions::method_layer`). The former are built once and shared by all methods, as a rate limit
/// over all calls needs it, so that the latter cannot be built into them.
async fn layered(
    request: OutgoingRequest<Bytes>,
    stacks: [middleware::Next; 2],
) -> Result<(Response, CallBounds), Status> {
    let limit = request.time_limit(Instant::now());
    let method = request.descriptor();
    let bounds = CallBounds {
        method: method.full_name,
        limit: Some(limit),
        parent: request.options.message.parent.clone(),
    };
    bounds.check()?;
    let (template, metadata, payload) = request.into_template(Some(limit))?;
    let terminal = Arc::new(ClientTerminal(template));
    let stacks = stacks.into_iter();
    let deadline = Some(limit.deadline);
    let request = middleware::Request::new(method, metadata, deadline, payload, stacks, terminal);
    let response = bounds.pass(request.start()).await?;
    Ok((response, bounds))
}

/// End of the client's middleware for unary calls: makes the call on the wire, retries included.
struct ClientTerminal(RequestTemplate);

impl Terminal for ClientTerminal {
    fn call(&self, request: middleware::Request) -> ResponseFuture {
        let call = RetryLoop::new(UnaryExchange::new(self.0.fill(&request)));
        let method = self.0.method();
        Box::pin(async move {
            let reply = call.await?;
            let metadata = wire::decode_reply_metadata(reply.headers(), method.full_name);
            Ok(Response::received(reply.into_payload(), metadata))
        })
    }
}
