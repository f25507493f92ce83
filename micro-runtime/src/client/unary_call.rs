//! `UnaryCall`: the builder that a generated client's unary methods return, and its futures.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use pin_project_lite::pin_project;

use crate::client::call_bounds::CallBounds;
use crate::client::call_future::CallFuture;
use crate::client::call_options::call_option_methods;
use crate::client::client::Client;
use crate::client::request::{OutgoingRequest, TypedBody};
use crate::decode::{MIN_OFFLOADED_PROTOBUF, decode_reply};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::wire;

/// A call with one request and one reply. It is made when it is awaited.
///
/// # Errors
///
/// Awaiting it returns the status with which the handler failed, or one of the runtime, which has a
/// [`Status::reason`]:
///
/// - `UNAVAILABLE`: no instance serves the method, the server is shutting down, or the connection to NATS
///   was lost;
/// - `DEADLINE_EXCEEDED`: there was no reply before the deadline, or a long one was not decoded; the handler may have
///   run;
/// - `RESOURCE_EXHAUSTED`: the server is at its limits, or a message is too large;
/// - `FAILED_PRECONDITION`: it is awaited outside of a tokio runtime;
/// - `CANCELLED`: the call or event that this one is [`within`](Self::within) has ended;
/// - `INTERNAL`: the reply is not the message that the method returns.
///
/// # Cancel safety
///
/// Dropping the future abandons the call: a reply that comes later is dropped. The server is told, and drops the
/// handler at its next await ([`Context::ended`](crate::Context::ended)), unless that is `detached` or `blocking`.
///
/// # Examples
///
/// ```no_run
/// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
/// # use greeter::{GreeterClient, HelloRequest};
/// use std::time::Duration;
///
/// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
/// let reply = greeter
///     .say_hello(HelloRequest { name: "Ada".into() })
///     .timeout(Duration::from_secs(1))
///     .header("tenant", "acme")
///     .await?;
/// println!("{}", reply.message);
/// # Ok(()) }
/// ```
#[must_use = "a call is made when it is awaited"]
pub struct UnaryCall<Req, Rep> {
    pub(crate) request: OutgoingRequest<TypedBody<Req>>,
    reply: PhantomData<fn() -> Rep>,
}

/// A reply with the headers that came with it; see [`UnaryCall::with_metadata`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply<M> {
    /// The reply.
    pub message: M,
    /// Headers that the handler set with [`Context::set_header`](crate::Context::set_header).
    pub metadata: Metadata,
}

pin_project! {
    /// Future of a [`UnaryCall`]. Dropping it abandons the call.
    #[must_use = "a call is made when it is awaited"]
    pub struct UnaryFuture<Req, Rep> {
        #[pin]
        call: CallFuture<TypedBody<Req>>,
        // Of a long reply.
        decoding: Option<DecodingReply<Rep>>,
    }
}

pin_project! {
    /// Future of [`UnaryCall::with_metadata`]. Dropping it abandons the call.
    #[must_use = "a call is made when it is awaited"]
    pub struct ReplyFuture<Req, Rep> {
        #[pin]
        call: CallFuture<TypedBody<Req>>,
        metadata: Metadata,
        // Of a long reply.
        decoding: Option<DecodingReply<Rep>>,
    }
}

type DecodingReply<Rep> = Pin<Box<dyn Future<Output = Result<Rep, Status>> + Send>>;

/// Starts a unary call; called by generated clients.
#[doc(hidden)]
pub fn unary<Req, Rep>(client: &Client, method: usize, message: Req) -> UnaryCall<Req, Rep> {
    UnaryCall {
        request: OutgoingRequest::new(client, method, TypedBody(message)),
        reply: PhantomData,
    }
}

impl<Req, Rep> UnaryCall<Req, Rep> {
    call_option_methods! { (request.options):
        /// The server receives it and stops the handler at the deadline. The default is the client's
        /// ([`ClientOptions::timeout`](crate::ClientOptions::timeout)), else the .proto's
        /// (`(micro.v1.method).timeout`), else 5 s.
        ///
        /// # Examples
        ///
        /// ```no_run
        /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
        /// # use greeter::{GreeterClient, HelloRequest};
        /// # use std::time::Duration;
        /// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
        /// let call = greeter.say_hello(HelloRequest { name: "Ada".into() });
        /// let reply = call.timeout(Duration::from_millis(250)).await?;
        /// # Ok(()) }
        /// ```
        timeout;
        ///
        /// # Examples
        ///
        /// ```no_run
        /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
        /// # use greeter::{GreeterClient, HelloRequest};
        /// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
        /// let call = greeter.say_hello(HelloRequest { name: "Ada".into() });
        /// let reply = call.header("tenant", "acme").await?;
        /// # Ok(()) }
        /// ```
        headers;
        wait_for_ready;
        expires;
        /// Makes this call a part of the call or event that `ctx` belongs to: it belongs to the same
        /// trace, and ends with that call, at its deadline at the latest. The `traceparent`, `tracestate` and `baggage`
        /// that came with `ctx` go with it, if they have at most 128, 512 and 8,192 bytes.
        ///
        /// # Examples
        ///
        /// ```no_run
        /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
        /// # use greeter::{GreeterClient, HelloRequest, HelloReply};
        /// # use micro_runtime::{Context, Status};
        /// // In a handler that calls another service:
        /// async fn greet(ctx: Context, greeter: GreeterClient) -> Result<HelloReply, Status> {
        ///     greeter.say_hello(HelloRequest { name: "Ada".into() }).within(&ctx).await
        /// }
        /// ```
        within;
        ///
        /// # Examples
        ///
        /// ```no_run
        /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
        /// # use greeter::{GreeterClient, HelloRequest};
        /// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
        /// let reply = greeter.say_hello(HelloRequest { name: "Ada".into() }).no_retry().await?;
        /// # Ok(()) }
        /// ```
        no_retry;
    }

    /// Returns the headers of the reply too.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// # use greeter::{GreeterClient, HelloRequest};
    /// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
    /// let reply = greeter.say_hello(HelloRequest { name: "Ada".into() }).with_metadata().await?;
    /// println!("{} from {:?}", reply.message.message, reply.metadata.get("served-by"));
    /// # Ok(()) }
    /// ```
    pub fn with_metadata(self) -> ReplyFuture<Req, Rep>
    where
        Req: prost::Message,
    {
        ReplyFuture {
            call: CallFuture::new(self.request),
            metadata: Metadata::new(),
            decoding: None,
        }
    }
}

impl<Req, Rep> IntoFuture for UnaryCall<Req, Rep>
where
    Req: prost::Message,
    Rep: prost::Message + Default + 'static,
{
    type Output = Result<Rep, Status>;
    type IntoFuture = UnaryFuture<Req, Rep>;

    fn into_future(self) -> Self::IntoFuture {
        UnaryFuture {
            call: CallFuture::new(self.request),
            decoding: None,
        }
    }
}

/// Decodes a long reply, whose type is `name`, up to the deadline of its call.
fn decode_within<Rep>(bounds: CallBounds, payload: Bytes, name: &'static str) -> DecodingReply<Rep>
where
    Rep: prost::Message + Default + 'static,
{
    Box::pin(async move {
        let decoding = decode_reply(payload, name, wire::decode_reply);
        bounds.decode(decoding).await
    })
}

impl<Req, Rep> Future for UnaryFuture<Req, Rep>
where
    Req: prost::Message,
    Rep: prost::Message + Default + 'static,
{
    type Output = Result<Rep, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(decoding) = this.decoding {
            return decoding.as_mut().poll(cx);
        }
        let reply = ready!(this.call.as_mut().poll(cx))?;
        let (payload, name) = (reply.into_payload(), this.call.descriptor().output);
        if payload.len() < MIN_OFFLOADED_PROTOBUF {
            return Poll::Ready(wire::decode_reply(payload, name));
        }
        let decoding = decode_within(this.call.bounds(), payload, name);
        this.decoding.insert(decoding).as_mut().poll(cx)
    }
}

impl<Req, Rep> Future for ReplyFuture<Req, Rep>
where
    Req: prost::Message,
    Rep: prost::Message + Default + 'static,
{
    type Output = Result<Reply<Rep>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.decoding.is_none() {
            let reply = ready!(this.call.as_mut().poll(cx))?;
            let method = this.call.descriptor();
            let metadata = reply.metadata(method).complete()?;
            let payload = reply.into_payload();
            if payload.len() < MIN_OFFLOADED_PROTOBUF {
                let message = wire::decode_reply(payload, method.output)?;
                return Poll::Ready(Ok(Reply { message, metadata }));
            }
            *this.metadata = metadata;
            let bounds = this.call.bounds();
            *this.decoding = Some(decode_within(bounds, payload, method.output));
        }
        let Some(decoding) = this.decoding else {
            return Poll::Pending;
        };
        let message = ready!(decoding.as_mut().poll(cx))?;
        let metadata = std::mem::take(this.metadata);
        Poll::Ready(Ok(Reply { message, metadata }))
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
