//! `ServerStreamingCall`, `ClientStreamingCall` and `BidirectionalCall`: the builders that a generated
//! client's streaming methods return.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;

use bytes::Bytes;

use crate::client::call_options::call_option_methods;
use crate::client::client::Client;
use crate::client::encoded_call::EncodedCall;
use crate::client::open_stream::WaitsFor;
use crate::status::Status;
use crate::stream::{ClientStream, MessageDecoder, MessageReader, Sender, Streaming};
use crate::wire;

macro_rules! streaming_calls {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[must_use = "a call is made when it is awaited"]
        pub struct $name<Req, Rep> {
            call: EncodedCall,
            messages: PhantomData<fn(Req) -> Rep>,
        }

        impl<Req, Rep> $name<Req, Rep> {
            call_option_methods! { (call.request.options):
                /// The whole stream must end within it; at the deadline both ends are reset with
                /// `DEADLINE_EXCEEDED`. The server receives the timeout. By default a stream has no
                /// deadline, except for 5 s until the server accepts it
                /// ([`StreamOptions::open_timeout`](crate::StreamOptions::open_timeout)).
                timeout;
                headers;
                wait_for_ready;
                expires;
                /// Makes this call a part of the call or event that `ctx` belongs to: it belongs to the
                /// same trace, and is reset when that call ends, at its deadline at the latest.
                within;
                /// Only the opening is ever sent again; a stream that was open is not.
                no_retry;
            }

            call_option_methods! { (call):
                stream_options;
            }

            fn new(client: &Client, method: usize, body: Bytes) -> Self {
                Self {
                    call: EncodedCall::new(client, method, body),
                    messages: PhantomData,
                }
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
    /// A call with one request and many replies.
    ///
    /// Awaiting it completes when the handler has returned its stream, so that an error that the handler
    /// returns before its first message is the error of this await. Later errors come from
    /// [`Streaming::message`].
    ///
    /// # Errors
    ///
    /// The status with which the handler or the runtime refused the call; `UNAVAILABLE` if no instance
    /// serves the method, or none accepts the stream within 5 s.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// # use greeter::{CountRequest, GreeterClient};
    /// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
    /// let mut numbers = greeter.count(CountRequest { to: 3 }).await?;
    /// while let Some(number) = numbers.message().await? {
    ///     println!("{}", number.value);
    /// }
    /// # Ok(()) }
    /// ```
    ServerStreamingCall
    /// A call with many requests and one reply; [`open`](Self::open) makes it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// # use greeter::{GreeterClient, Number};
    /// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
    /// let mut sum = greeter.sum().open().await?;
    /// sum.send(Number { value: 1 }).await?;
    /// sum.send(Number { value: 2 }).await?;
    /// let total = sum.finish().await?;
    /// # Ok(()) }
    /// ```
    ClientStreamingCall
    /// A call with many messages both ways; [`open`](Self::open) makes it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// # use greeter::{GreeterClient, HelloRequest};
    /// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
    /// let (mut sender, mut replies) = greeter.chat().open().await?;
    /// sender.send(HelloRequest { name: "Ada".into() }).await?;
    /// let reply = replies.message().await?;
    /// sender.finish().await?;
    /// # Ok(()) }
    /// ```
    BidirectionalCall
}

/// Starts a server-streaming call; called by generated clients.
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
    ServerStreamingCall::new(client, method, wire::encode(&request))
}

/// Starts a client-streaming call; called by generated clients.
#[doc(hidden)]
pub fn client_streaming<Req, Rep>(client: &Client, method: usize) -> ClientStreamingCall<Req, Rep> {
    ClientStreamingCall::new(client, method, Bytes::new())
}

/// Starts a bidirectional call; called by generated clients.
#[doc(hidden)]
pub fn bidirectional<Req, Rep>(client: &Client, method: usize) -> BidirectionalCall<Req, Rep> {
    BidirectionalCall::new(client, method, Bytes::new())
}

/// Returns the replies that arrive at `reader`; `name` is the full name of their message, for errors.
fn replies<Rep: prost::Message + Default + 'static>(
    reader: MessageReader,
    name: &'static str,
) -> Streaming<Rep> {
    Streaming::received(reader, MessageDecoder::of_replies(name))
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
    Rep: prost::Message + Default + 'static,
{
    /// Opens the stream: completes when an instance has accepted it, before its handler runs. Dropping
    /// the future or its result cancels the call.
    ///
    /// # Errors
    ///
    /// The status with which the server refused the call; `UNAVAILABLE` if no instance serves the
    /// method, or none accepts the stream within 5 s.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// # use greeter::{GreeterClient, Number};
    /// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
    /// let mut sum = greeter.sum().open().await?;
    /// sum.send(Number { value: 1 }).await?;
    /// let total = sum.finish().await?;
    /// # Ok(()) }
    /// ```
    pub async fn open(self) -> Result<ClientStream<Req, Rep>, Status> {
        let name = self.call.request.descriptor().output;
        let reader = self.call.open(WaitsFor::Accept).await?;
        let sender = Sender::new(reader.shared_channel());
        Ok(ClientStream::new(sender, replies(reader, name)))
    }
}

impl<Req, Rep> BidirectionalCall<Req, Rep>
where
    Rep: prost::Message + Default + 'static,
{
    /// Opens the stream: completes when an instance has accepted it, before its handler runs. Both
    /// halves can move to tasks of their own. Dropping the [`Streaming`] cancels the call.
    ///
    /// # Errors
    ///
    /// The status with which the server refused the call; `UNAVAILABLE` if no instance serves the
    /// method, or none accepts the stream within 5 s.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
    /// # use greeter::{GreeterClient, HelloRequest};
    /// # async fn run(greeter: GreeterClient) -> Result<(), micro_runtime::Status> {
    /// let (mut sender, mut replies) = greeter.chat().open().await?;
    /// let sending = tokio::spawn(async move {
    ///     sender.send(HelloRequest { name: "Ada".into() }).await?;
    ///     sender.finish().await
    /// });
    /// while let Some(reply) = replies.message().await? {
    ///     println!("{}", reply.message);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn open(self) -> Result<(Sender<Req>, Streaming<Rep>), Status> {
        let name = self.call.request.descriptor().output;
        let reader = self.call.open(WaitsFor::Accept).await?;
        let sender = Sender::new(reader.shared_channel());
        Ok((sender, replies(reader, name)))
    }
}
