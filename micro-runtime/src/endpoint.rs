//! `Service` and `Endpoint`: what a generated server provides. Bytes in, bytes out; `serve` waits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt as _;
use pin_project_lite::pin_project;

use crate::context::Context;
use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::options::RpcOptions;
use crate::status::{Code, Status};
use crate::stream::{Piece, Reader, Writing};
use crate::streaming::{ReplyStream, Streaming};
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
    pub(crate) handler: Handling,
}

/// How a method is handled.
#[derive(Clone)]
pub(crate) enum Handling {
    Unary(Arc<dyn Handler>),
    Streaming(Arc<dyn StreamHandler>),
}

/// A running call: the encoded reply, or the status.
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Bytes, Status>> + Send>>;

/// A streaming call that opens: its replies, or the status.
pub(crate) type OpeningFuture = Pin<Box<dyn Future<Output = Result<Replies, Status>> + Send>>;

/// The replies of a running call.
pub(crate) type Replies = Pin<Box<dyn ReplySource>>;

pub(crate) trait Handler: Send + Sync {
    /// Makes the call; nothing runs until the future is polled.
    fn call(&self, ctx: Context, payload: Bytes) -> HandlerFuture;
}

pub(crate) trait StreamHandler: Send + Sync {
    /// Makes the call; nothing runs until the future is polled.
    fn call(&self, ctx: Context, requests: Requests) -> OpeningFuture;
}

/// The encoded messages of a caller.
pub(crate) enum Requests {
    /// They came with the request.
    Given(Vec<Bytes>),
    Received(Reader),
    /// They are in another format, and made protobuf one by one.
    Transcoded(Reader, ReadRequest),
}

/// Makes protobuf of a message in another format.
pub(crate) type ReadRequest = Arc<dyn Fn(Bytes) -> Result<Bytes, Status> + Send + Sync>;

/// Replies that are encoded when there is room for them.
pub(crate) trait ReplySource: Send {
    /// Writes as many replies as are ready and have room, at least one unless it is the end.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        writing: &mut Writing,
    ) -> Poll<Written>;
}

/// What came of writing replies.
pub(crate) enum Written {
    /// Nothing more is ready, or there is no more room.
    Flush,
    /// That was all.
    End(Result<(), Status>),
}

impl<F: Fn(Context, Bytes) -> HandlerFuture + Send + Sync> Handler for F {
    fn call(&self, ctx: Context, payload: Bytes) -> HandlerFuture {
        self(ctx, payload)
    }
}

impl<F: Fn(Context, Requests) -> OpeningFuture + Send + Sync> StreamHandler for F {
    fn call(&self, ctx: Context, requests: Requests) -> OpeningFuture {
        self(ctx, requests)
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
        Self::new(method, rpc, Handling::Unary(Arc::new(call)))
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
        Self::new(method, rpc, Handling::Streaming(Arc::new(call)))
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
                    Ok(reply) => Ok(Box::pin(One(wire::encode(&reply))) as Replies),
                    Err(status) => Err(status.with_reason(None)),
                }
            })
        };
        Self::new(method, rpc, Handling::Streaming(Arc::new(call)))
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
        Self::new(method, rpc, Handling::Streaming(Arc::new(call)))
    }

    fn new(
        method: &'static MethodDescriptor,
        rpc: &'static [RpcOptions],
        handler: Handling,
    ) -> Self {
        Self {
            method,
            rpc: RpcOptions::of(method.name, rpc),
            handler,
        }
    }
}

impl Handling {
    /// The handler of a method that streams, or of a unary one whose messages come in parts.
    pub(crate) fn streaming(&self) -> Arc<dyn StreamHandler> {
        match self {
            Self::Streaming(handler) => Arc::clone(handler),
            Self::Unary(handler) => {
                let handler = Arc::clone(handler);
                Arc::new(move |ctx: Context, requests: Requests| -> OpeningFuture {
                    let handler = Arc::clone(&handler);
                    Box::pin(async move {
                        let payload = requests.one().await?;
                        let reply = handler.call(ctx, payload).await?;
                        Ok(Box::pin(One(reply)) as Replies)
                    })
                })
            }
        }
    }
}

impl Requests {
    /// The one message of a caller who sends one.
    pub(crate) async fn one(self) -> Result<Bytes, Status> {
        match self {
            Self::Given(messages) => Ok(messages.into_iter().next().unwrap_or_default()),
            Self::Received(mut reader) => one_of(&mut reader).await,
            Self::Transcoded(mut reader, read) => read(one_of(&mut reader).await?),
        }
    }

    fn streaming<M: prost::Message + Default + 'static>(self, name: &'static str) -> Streaming<M> {
        match self {
            Self::Received(reader) => Streaming::received(reader, read_request::<M>, name),
            Self::Given(messages) => Streaming::from_stream(
                futures_util::stream::iter(messages)
                    .map(move |message| wire::decode_request(message, name)),
            ),
            Self::Transcoded(reader, read) => Streaming::from_stream(
                futures_util::stream::try_unfold(reader, move |mut reader| {
                    let read = Arc::clone(&read);
                    async move {
                        let Some(message) = reader.next_bytes().await? else {
                            return Ok(None);
                        };
                        let message = wire::decode_request(read(message)?, name)?;
                        Ok(Some((message, reader)))
                    }
                }),
            ),
        }
    }
}

async fn one_of(reader: &mut Reader) -> Result<Bytes, Status> {
    let message = reader.next_bytes().await?;
    message.ok_or_else(|| Status::new(Code::InvalidArgument, "the caller sent no request message"))
}

fn read_request<M: prost::Message + Default>(
    piece: Piece<'_>,
    name: &'static str,
) -> Result<M, Status> {
    match piece {
        Piece::Small(message) => wire::decode_request(message, name),
        Piece::Large(bytes) => wire::decode_request(bytes, name),
    }
}

fn many<M: prost::Message + 'static>(replies: impl ReplyStream<M>) -> Replies {
    Box::pin(Many {
        replies,
        message: std::marker::PhantomData,
    })
}

pin_project! {
    struct Many<R, M> {
        #[pin]
        replies: R,
        message: std::marker::PhantomData<fn() -> M>,
    }
}

/// The reply of a method that has one.
struct One(Bytes);

impl<M: prost::Message, R: ReplyStream<M>> ReplySource for Many<R, M> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        writing: &mut Writing,
    ) -> Poll<Written> {
        let mut replies = self.project().replies;
        while writing.has_room() {
            let next = match replies.as_mut().poll_next(cx) {
                Poll::Pending if !writing.is_empty() => return Poll::Ready(Written::Flush),
                polled => ready!(polled),
            };
            match next {
                Some(Ok(message)) => writing.put(&message),
                Some(Err(status)) => {
                    let status = status.with_reason(None);
                    return Poll::Ready(Written::End(Err(status)));
                }
                None => return Poll::Ready(Written::End(Ok(()))),
            }
        }
        Poll::Ready(Written::Flush)
    }
}

impl ReplySource for One {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        writing: &mut Writing,
    ) -> Poll<Written> {
        writing.put_owned(std::mem::take(&mut self.0));
        Poll::Ready(Written::End(Ok(())))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("method", &self.method.full_name)
            .finish_non_exhaustive()
    }
}
