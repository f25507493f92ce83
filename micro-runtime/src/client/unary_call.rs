//! What a generated client's methods return: a call that says how it is made, and then is awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, Instant};

use async_nats::Message;
use bytes::Bytes;
use pin_project_lite::pin_project;

use crate::client::client::Client;
use crate::client::request::{OutgoingRequest, RequestBody, TypedBody};
use crate::client::unary_exchange::UnaryExchange;
use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::metadata::Metadata;
use crate::middleware;
use crate::middleware::{Response, ResponseFuture, Terminal};
use crate::status::Status;
use crate::wire;

/// A call with one request and one reply. It is made when it is awaited.
///
/// # Examples
///
/// ```ignore
/// let reply = greeter
///     .say_hello(HelloRequest { name: "Ada".into() })
///     .timeout(Duration::from_secs(1))
///     .header("tenant", "acme")
///     .await?;
/// ```
#[must_use = "a call is made when it is awaited"]
pub struct UnaryCall<Req, Rep> {
    pub(crate) request: OutgoingRequest<TypedBody<Req>>,
    reply: PhantomData<fn() -> Rep>,
}

/// A reply with the headers that came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply<M> {
    /// The reply.
    pub message: M,
    /// What the handler added with [`Context::set_header`].
    pub metadata: Metadata,
}

pin_project! {
    /// The reply to come of a [`UnaryCall`]. Dropping it gives the call up.
    #[must_use = "a call is made when it is awaited"]
    pub struct UnaryFuture<Req, Rep> {
        #[pin]
        calling: CallFuture<TypedBody<Req>>,
        reply: PhantomData<fn() -> Rep>,
    }
}

pin_project! {
    /// The [`Reply`] to come of a [`UnaryCall`]. Dropping it gives the call up.
    #[must_use = "a call is made when it is awaited"]
    pub struct ReplyFuture<Req, Rep> {
        #[pin]
        calling: CallFuture<TypedBody<Req>>,
        reply: PhantomData<fn() -> Rep>,
    }
}

/// Starts a unary call; generated clients use it.
#[doc(hidden)]
pub fn unary<Req, Rep>(client: &Client, method: usize, message: Req) -> UnaryCall<Req, Rep> {
    UnaryCall {
        request: OutgoingRequest {
            client: client.clone(),
            method,
            body: TypedBody(message),
            timeout: None,
            parent: None,
            may_retry: true,
            metadata: Ok(Metadata::new()),
        },
        reply: PhantomData,
    }
}

impl<Req, Rep> UnaryCall<Req, Rep> {
    /// How long to wait for the reply; the server is told. The default is the client's, then the
    /// .proto's, then 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request.timeout = Some(timeout);
        self
    }

    /// Adds a header. What is wrong with it is the error of the call; see [`Metadata::append`].
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request.add_header(name, value);
        self
    }

    /// Makes this call a part of the one that `ctx` belongs to: it ends at that call's deadline at
    /// the latest, and belongs to the same trace.
    pub fn within(mut self, ctx: &Context) -> Self {
        self.request.parent = Some(ctx.clone());
        self
    }

    /// Sends the request once: not again when nobody was there, nor when the .proto says that a
    /// second time does no harm.
    pub fn no_retry(mut self) -> Self {
        self.request.may_retry = false;
        self
    }

    /// Asks for the headers of the reply too.
    pub fn with_metadata(self) -> ReplyFuture<Req, Rep>
    where
        Req: prost::Message,
    {
        ReplyFuture {
            calling: CallFuture::new(self.request),
            reply: PhantomData,
        }
    }
}

impl<Req, Rep> IntoFuture for UnaryCall<Req, Rep>
where
    Req: prost::Message,
    Rep: prost::Message + Default,
{
    type Output = Result<Rep, Status>;
    type IntoFuture = UnaryFuture<Req, Rep>;

    fn into_future(self) -> Self::IntoFuture {
        UnaryFuture {
            calling: CallFuture::new(self.request),
            reply: PhantomData,
        }
    }
}

impl<Req, Rep> Future for UnaryFuture<Req, Rep>
where
    Req: prost::Message,
    Rep: prost::Message + Default,
{
    type Output = Result<Rep, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut calling = self.project().calling;
        let reply = ready!(calling.as_mut().poll(cx))?;
        let payload = reply.into_payload();
        Poll::Ready(wire::decode_reply(payload, calling.descriptor().output))
    }
}

impl<Req, Rep> Future for ReplyFuture<Req, Rep>
where
    Req: prost::Message,
    Rep: prost::Message + Default,
{
    type Output = Result<Reply<Rep>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut calling = self.project().calling;
        let reply = ready!(calling.as_mut().poll(cx))?;
        let metadata = reply.metadata()?;
        let payload = reply.into_payload();
        let message = wire::decode_reply(payload, calling.descriptor().output)?;
        Poll::Ready(Ok(Reply { message, metadata }))
    }
}

pin_project! {
    /// A call on its way: straight to the wire, or through the client's middleware.
    #[project = CallingProjection]
    pub(crate) enum CallFuture<B> {
        Plain {
            #[pin]
            exchange: UnaryExchange<B>,
        },
        Layered {
            future: ResponseFuture,
            method: &'static MethodDescriptor,
        },
    }
}

/// What came back.
pub(crate) enum RawReply {
    Message(Message),
    Response(Response),
}

/// The wire behind the client's middleware.
struct ClientTerminal {
    client: Client,
    method: usize,
    parent: Option<Context>,
    may_retry: bool,
}

impl<B: RequestBody> CallFuture<B> {
    pub(crate) fn new(request: OutgoingRequest<B>) -> Self {
        match request.client.stacks(request.method) {
            None => Self::Plain {
                exchange: UnaryExchange::new(request),
            },
            Some(stacks) => Self::Layered {
                method: request.descriptor(),
                future: layered(request, stacks),
            },
        }
    }

    fn descriptor(&self) -> &'static MethodDescriptor {
        match self {
            Self::Plain { exchange } => exchange.descriptor(),
            Self::Layered { method, .. } => method,
        }
    }
}

impl<B: RequestBody> Future for CallFuture<B> {
    type Output = Result<RawReply, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match self.project() {
            CallingProjection::Plain { exchange } => exchange.poll(cx).map_ok(RawReply::Message),
            CallingProjection::Layered { future, .. } => {
                future.as_mut().poll(cx).map_ok(RawReply::Response)
            }
        }
    }
}

fn layered<B: RequestBody>(
    request: OutgoingRequest<B>,
    stacks: [middleware::Next; 2],
) -> ResponseFuture {
    let deadline = request.deadline(Instant::now());
    let method = request.descriptor();
    let payload = request.body.encode();
    let metadata = match request.metadata {
        Ok(metadata) => metadata,
        Err(status) => return Box::pin(std::future::ready(Err(status))),
    };
    let end = Arc::new(ClientTerminal {
        client: request.client,
        method: request.method,
        parent: request.parent,
        may_retry: request.may_retry,
    });
    let stacks = stacks.into_iter();
    middleware::Request::new(method, metadata, Some(deadline), payload, stacks, end).proceed()
}

impl Terminal for ClientTerminal {
    fn call(&self, request: middleware::Request) -> ResponseFuture {
        let request = OutgoingRequest::<Bytes> {
            client: self.client.clone(),
            method: self.method,
            body: request.payload().clone(),
            timeout: request.remaining(),
            parent: self.parent.clone(),
            may_retry: self.may_retry,
            metadata: Ok(request.metadata().clone()),
        };
        Box::pin(async move {
            let reply = RawReply::Message(UnaryExchange::new(request).await?);
            let metadata = reply.metadata()?;
            Ok(Response::new(reply.into_payload(), metadata))
        })
    }
}

impl RawReply {
    pub(crate) fn metadata(&self) -> Result<Metadata, Status> {
        match self {
            Self::Message(message) => match &message.headers {
                Some(headers) => wire::decode_metadata(headers),
                None => Ok(Metadata::new()),
            },
            Self::Response(response) => Ok(response.metadata().clone()),
        }
    }

    pub(crate) fn into_payload(self) -> Bytes {
        match self {
            Self::Message(message) => message.payload,
            Self::Response(response) => response.into_parts().0,
        }
    }
}

macro_rules! debug {
    ($($name:ident)*) => {$(
        impl<Req, Rep> fmt::Debug for $name<Req, Rep> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

debug! {
    UnaryCall
    UnaryFuture
    ReplyFuture
}
