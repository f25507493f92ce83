//! What a generated client's methods return: a call that says how it is made, and then is awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use async_nats::Message;
use pin_project_lite::pin_project;

use crate::client::Client;
use crate::context::Context;
use crate::exchange::{Exchange, Request};
use crate::metadata::Metadata;
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
    request: Request<Req>,
    reply: PhantomData<fn() -> Rep>,
}

/// A reply with the headers that came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer<M> {
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
        exchange: Exchange<Req>,
        reply: PhantomData<fn() -> Rep>,
    }
}

pin_project! {
    /// The [`Answer`] to come of a [`UnaryCall`]. Dropping it gives the call up.
    #[must_use = "a call is made when it is awaited"]
    pub struct AnswerFuture<Req, Rep> {
        #[pin]
        exchange: Exchange<Req>,
        reply: PhantomData<fn() -> Rep>,
    }
}

/// Starts a unary call; generated clients use it.
#[doc(hidden)]
pub fn unary<Req, Rep>(client: &Client, method: usize, message: Req) -> UnaryCall<Req, Rep> {
    UnaryCall {
        request: Request {
            client: client.clone(),
            method,
            message,
            timeout: None,
            parent: None,
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
        if let Ok(metadata) = &mut self.request.metadata
            && let Err(status) = metadata.append(name, value)
        {
            self.request.metadata = Err(status);
        }
        self
    }

    /// Makes this call a part of the one that `ctx` belongs to: it ends at that call's deadline at
    /// the latest, and belongs to the same trace.
    pub fn within(mut self, ctx: &Context) -> Self {
        self.request.parent = Some(ctx.clone());
        self
    }

    /// Asks for the headers of the reply too.
    pub fn answer(self) -> AnswerFuture<Req, Rep>
    where
        Req: prost::Message,
    {
        AnswerFuture {
            exchange: Exchange::new(self.request),
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
            exchange: Exchange::new(self.request),
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
        let mut exchange = self.project().exchange;
        let reply = ready!(exchange.as_mut().poll(cx))?;
        Poll::Ready(decode(reply, exchange.output_name()))
    }
}

impl<Req, Rep> Future for AnswerFuture<Req, Rep>
where
    Req: prost::Message,
    Rep: prost::Message + Default,
{
    type Output = Result<Answer<Rep>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut exchange = self.project().exchange;
        let reply = ready!(exchange.as_mut().poll(cx))?;
        let metadata = match &reply.headers {
            Some(headers) => wire::decode_metadata(headers)?,
            None => Metadata::new(),
        };
        let message = decode(reply, exchange.output_name())?;
        Poll::Ready(Ok(Answer { message, metadata }))
    }
}

fn decode<Rep: prost::Message + Default>(reply: Message, name: &str) -> Result<Rep, Status> {
    if let Some(headers) = &reply.headers
        && let Some(status) = wire::decode_status(headers, &reply.payload)
    {
        return Err(status);
    }
    wire::decode_reply(reply.payload, name)
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
    AnswerFuture
}
