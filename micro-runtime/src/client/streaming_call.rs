//! The streaming calls of a generated client: what they say before they are made, and how they open.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::client::client::Client;
use crate::client::open_stream;
use crate::client::open_stream::{OpenStream, WaitsFor};
use crate::client::request::OutgoingRequest;
use crate::context::Context;
use crate::metadata::Metadata;
use crate::middleware;
use crate::middleware::{Response, ResponseFuture, Terminal};
use crate::status::{Code, Status};
use crate::stream::{
    ClientStream, EncodedMessage, MessageReader, Sender, StreamOptions, Streaming,
};
use crate::sync::lock;
use crate::wire;

/// What is said about a streaming call before it is made.
pub(crate) struct Call {
    pub(crate) request: OutgoingRequest<Bytes>,
    pub(crate) options: StreamOptions,
}

macro_rules! streaming_calls {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[must_use = "a call is made when it is awaited"]
        pub struct $name<Req, Rep> {
            call: Call,
            messages: PhantomData<fn(Req) -> Rep>,
        }

        impl<Req, Rep> $name<Req, Rep> {
            /// How long the whole stream may take; the server is told. There is no limit by default.
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.call.request.timeout = Some(timeout);
                self
            }

            /// Adds a header. What is wrong with it is the error of the call; see
            /// [`Metadata::append`].
            pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
                self.call.request.add_header(name, value);
                self
            }

            /// Makes this call a part of the one that `ctx` belongs to: it ends with that call, at
            /// its deadline at the latest, and belongs to the same trace.
            pub fn within(mut self, ctx: &Context) -> Self {
                self.call.request.parent = Some(ctx.clone());
                self
            }

            /// Sets what may be under way, and how long the server may be silent; wins over what the
            /// client's options say.
            pub fn stream_options(mut self, options: StreamOptions) -> Self {
                self.call.options = options;
                self
            }

            /// Sends the request once, also when nobody was there.
            pub fn no_retry(mut self) -> Self {
                self.call.request.may_retry = false;
                self
            }
        }

        impl<Req, Rep> fmt::Debug for $name<Req, Rep> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

streaming_calls! {
    /// A call with one request and many replies. Awaiting it ends when the handler has returned its
    /// stream, or failed.
    ///
    /// # Examples
    ///
    /// ```ignore
    /// let mut numbers = greeter.count(CountRequest { to: 3 }).await?;
    /// while let Some(number) = numbers.message().await? {
    ///     println!("{}", number.value);
    /// }
    /// ```
    ServerStreamingCall
    /// A call with many requests and one reply.
    ///
    /// # Examples
    ///
    /// ```ignore
    /// let mut sum = greeter.sum().open().await?;
    /// sum.send(Number { value: 1 }).await?;
    /// let total = sum.finish().await?;
    /// ```
    ClientStreamingCall
    /// A call with many messages both ways.
    ///
    /// # Examples
    ///
    /// ```ignore
    /// let (mut sender, mut replies) = greeter.chat().open().await?;
    /// sender.send(line).await?;
    /// let answer = replies.message().await?;
    /// sender.finish().await?;
    /// ```
    BidirectionalCall
}

impl Call {
    pub(crate) fn new(client: &Client, method: usize, body: Bytes) -> Self {
        Self {
            request: OutgoingRequest {
                client: client.clone(),
                method,
                body,
                timeout: None,
                parent: None,
                may_retry: true,
                metadata: Ok(Metadata::new()),
            },
            options: StreamOptions::new(),
        }
    }

    /// Opens the stream, straight or through the client's middleware.
    pub(crate) async fn open(self, waits_for: WaitsFor) -> Result<MessageReader, Status> {
        let Self { request, options } = self;
        let deadline =
            open_stream::deadline(request.timeout, request.parent.as_ref(), Instant::now());
        let Some(stacks) = request.client.stacks(request.method) else {
            return open_stream::open(OpenStream {
                request,
                options,
                deadline,
                waits_for,
            })
            .await;
        };
        let end = Arc::new(ClientStreamTerminal {
            client: request.client.clone(),
            method: request.method,
            parent: request.parent.clone(),
            may_retry: request.may_retry,
            options,
            waits_for,
            opened: Mutex::default(),
        });
        let method = request.descriptor();
        let stacks = stacks.into_iter();
        let layered = Arc::new(LayeredTerminal(Arc::clone(&end)));
        let metadata = request.metadata?;
        middleware::Request::new(method, metadata, deadline, request.body, stacks, layered)
            .proceed()
            .await?;
        let opened = lock(&end.opened).take();
        opened.ok_or_else(|| {
            let text =
                "middleware answered a streaming call itself, which it can only do with an error";
            Status::new(Code::Internal, text)
        })
    }
}

/// The wire behind the client's middleware, which sees the opening of a stream: the request as it
/// goes out, and a response without a message when the stream is open.
struct ClientStreamTerminal {
    client: Client,
    method: usize,
    parent: Option<Context>,
    may_retry: bool,
    options: StreamOptions,
    waits_for: WaitsFor,
    opened: Mutex<Option<MessageReader>>,
}

struct LayeredTerminal(Arc<ClientStreamTerminal>);

impl Terminal for LayeredTerminal {
    fn call(&self, request: middleware::Request) -> ResponseFuture {
        let wire = Arc::clone(&self.0);
        Box::pin(async move {
            let opening = OpenStream {
                deadline: request.deadline(),
                request: OutgoingRequest {
                    client: wire.client.clone(),
                    method: wire.method,
                    body: request.payload().clone(),
                    timeout: request.remaining(),
                    parent: wire.parent.clone(),
                    may_retry: wire.may_retry,
                    metadata: Ok(request.metadata().clone()),
                },
                options: wire.options,
                waits_for: wire.waits_for,
            };
            let reader = open_stream::open(opening).await?;
            let headers = reader.channel().headers();
            *lock(&wire.opened) = Some(reader);
            Ok(Response::new(Bytes::new(), headers))
        })
    }
}

/// Starts a server-streaming call; generated clients use it.
#[doc(hidden)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "takes what the client's method takes"
)]
pub fn server_streaming<Req, Rep>(
    client: &Client,
    method: usize,
    request: Req,
) -> ServerStreamingCall<Req, Rep>
where
    Req: prost::Message,
{
    ServerStreamingCall {
        call: Call::new(client, method, wire::encode(&request)),
        messages: PhantomData,
    }
}

/// Starts a client-streaming call; generated clients use it.
#[doc(hidden)]
pub fn client_streaming<Req, Rep>(client: &Client, method: usize) -> ClientStreamingCall<Req, Rep> {
    ClientStreamingCall {
        call: Call::new(client, method, Bytes::new()),
        messages: PhantomData,
    }
}

/// Starts a bidirectional call; generated clients use it.
#[doc(hidden)]
pub fn bidirectional<Req, Rep>(client: &Client, method: usize) -> BidirectionalCall<Req, Rep> {
    BidirectionalCall {
        call: Call::new(client, method, Bytes::new()),
        messages: PhantomData,
    }
}

fn replies<Rep: prost::Message + Default>(
    reader: MessageReader,
    name: &'static str,
) -> Streaming<Rep> {
    Streaming::received(reader, read_reply::<Rep>, name)
}

fn read_reply<Rep: prost::Message + Default>(
    piece: EncodedMessage<'_>,
    name: &'static str,
) -> Result<Rep, Status> {
    match piece {
        EncodedMessage::Borrowed(message) => wire::decode_reply_from(message, name),
        EncodedMessage::Owned(bytes) => wire::decode_reply_from(bytes, name),
    }
}

impl<Req, Rep> IntoFuture for ServerStreamingCall<Req, Rep>
where
    Rep: prost::Message + Default + 'static,
    Req: 'static,
{
    type Output = Result<Streaming<Rep>, Status>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let name = self.call.request.descriptor().output;
            let reader = self.call.open(WaitsFor::Open).await?;
            Ok(replies(reader, name))
        })
    }
}

impl<Req, Rep> ClientStreamingCall<Req, Rep>
where
    Rep: prost::Message + Default,
{
    /// Opens the stream: ends when an instance has accepted it.
    ///
    /// # Errors
    ///
    /// The status with which the server refused, or `UNAVAILABLE` when there is none.
    pub async fn open(self) -> Result<ClientStream<Req, Rep>, Status> {
        let name = self.call.request.descriptor().output;
        let reader = self.call.open(WaitsFor::Accept).await?;
        let sender = Sender::new(reader.shared_channel());
        Ok(ClientStream::new(sender, replies(reader, name)))
    }
}

impl<Req, Rep> BidirectionalCall<Req, Rep>
where
    Rep: prost::Message + Default,
{
    /// Opens the stream: ends when an instance has accepted it. Both halves can be used apart.
    ///
    /// # Errors
    ///
    /// The status with which the server refused, or `UNAVAILABLE` when there is none.
    pub async fn open(self) -> Result<(Sender<Req>, Streaming<Rep>), Status> {
        let name = self.call.request.descriptor().output;
        let reader = self.call.open(WaitsFor::Accept).await?;
        let sender = Sender::new(reader.shared_channel());
        Ok((sender, replies(reader, name)))
    }
}
