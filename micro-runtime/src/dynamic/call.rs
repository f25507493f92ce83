//! `DynamicCall` and `RawCall`: the builders that a `DynamicClient` returns.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};

use bytes::Bytes;
use prost_reflect::MessageDescriptor;

use crate::client::{
    CallFuture, CallOptions, Client, EncodedCall, Reply, WaitsFor, call_option_methods,
};
use crate::decode::convert;
use crate::descriptor::MethodKind;
use crate::dynamic::message;
use crate::dynamic::message::{Dynamic, DynamicRequest};
use crate::dynamic::stream::{DynamicSender, DynamicStreaming};
use crate::status::Status;
use crate::stream::{Sender, StreamOptions};
use crate::wire;
use crate::wire::ReceivedMetadata;

/// A call of a method that was unknown at compile time; made by
/// [`DynamicClient::call`](super::DynamicClient::call) and
/// [`DynamicClient::call_streaming`](super::DynamicClient::call_streaming).
///
/// The kind of the method decides how it is made: a unary call by awaiting it, or with
/// [`with_metadata`](Self::with_metadata) for the headers of the reply too; one with many replies with
/// [`stream`](Self::stream); one with many requests with [`open`](Self::open). A wrong choice is
/// `INVALID_ARGUMENT` with a text that names the right one.
///
/// # Errors
///
/// A method that does not exist and a request that is not its message are errors of making the call, before
/// anything is sent: `UNIMPLEMENTED` and `INVALID_ARGUMENT`. All others are those of a
/// [`UnaryCall`](crate::call::UnaryCall).
///
/// A request of 32 KiB or more is converted on a thread for blocking work, within the time of the call.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// # async fn run(greeter: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
/// let reply = greeter
///     .call("SayHello", r#"{"name": "Ada"}"#)
///     .timeout(Duration::from_secs(1))
///     .header("tenant", "acme")
///     .await?;
/// println!("{}", reply.text()?);
/// # Ok(()) }
/// ```
#[must_use = "a call is made when it is awaited"]
pub struct DynamicCall {
    prepared: Result<PreparedCall, Status>,
    options: CallOptions,
    stream_options: StreamOptions,
}

/// A call of an endpoint with bytes; made by [`DynamicClient::call_raw`](super::DynamicClient::call_raw).
///
/// It yields the payload of the reply as it came. Headers of the reply that are no valid metadata are left
/// out, since the responder may be built on another library.
///
/// # Examples
///
/// ```no_run
/// # async fn run(service: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
/// let reply = service.call_raw("reverse", "abc").await?;
/// assert_eq!(reply.message, "cba");
/// # Ok(()) }
/// ```
#[must_use = "a call is made when it is awaited"]
pub struct RawCall {
    /// Client of this endpoint alone, or the error of looking it up.
    client: Result<Client, Status>,
    payload: Bytes,
    options: CallOptions,
}

/// A call whose method exists.
pub(super) struct PreparedCall {
    pub(super) client: Client,
    /// Index of the method in the service's descriptor.
    pub(super) method: usize,
    /// The request, which is converted when the call is made; `None` for a call with many requests.
    pub(super) request: Option<DynamicRequest>,
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
}

impl DynamicCall {
    pub(super) fn new(prepared: Result<PreparedCall, Status>) -> Self {
        Self {
            prepared,
            options: CallOptions::new(),
            stream_options: StreamOptions::new(),
        }
    }

    call_option_methods! { (options):
        /// For a unary call it is the time for the reply; the default is the client's, else the .proto's,
        /// else 5 s. For a stream it is the time for the whole of it, without limit by default.
        ///
        /// # Examples
        ///
        /// ```no_run
        /// # use std::time::Duration;
        /// # async fn run(greeter: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
        /// let call = greeter.call("SayHello", r#"{"name": "Ada"}"#);
        /// let reply = call.timeout(Duration::from_millis(250)).await?;
        /// # Ok(()) }
        /// ```
        timeout;
        headers;
        wait_for_ready;
        expires;
        /// Makes this call a part of the call or event that `ctx` belongs to: it belongs to the same
        /// trace, and ends with that call, at its deadline at the latest.
        within;
        no_retry;
    }

    call_option_methods! { ():
        stream_options;
    }

    /// Makes a call with one reply, and returns the headers of the reply too.
    ///
    /// # Errors
    ///
    /// The status with which the call failed; `INVALID_ARGUMENT` if the method streams.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(greeter: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
    /// let reply = greeter.call("SayHello", r#"{"name": "Ada"}"#).with_metadata().await?;
    /// println!("{} from {:?}", reply.message.text()?, reply.metadata.get("served-by"));
    /// # Ok(()) }
    /// ```
    pub async fn with_metadata(self) -> Result<Reply<Dynamic>, Status> {
        let (message, metadata) = self.call().await?;
        let metadata = metadata.complete()?;
        Ok(Reply { message, metadata })
    }

    /// Makes a unary call.
    async fn call(self) -> Result<(Dynamic, ReceivedMetadata), Status> {
        let TypedCall { call, output, .. } = self.into_call(&[MethodKind::Unary]).await?;
        let is_json = call.request.client.format().is_json();
        let method = call.request.descriptor();
        let mut call = pin!(CallFuture::new(call.request));
        let reply = call.as_mut().await?;
        let bounds = call.bounds();
        let metadata = reply.metadata(method);
        let payload = reply.into_payload();
        // A reply in JSON has a content type, which an acknowledgment has not.
        if !is_json && let Some(status) = wire::acknowledged_by(&payload) {
            return Err(status);
        }
        let decoding = convert(None, payload, move |_, payload| {
            message::decode(payload, &output, is_json)
        });
        Ok((bounds.decode(decoding).await?, metadata))
    }

    /// Makes a call with one request and many replies; completes when the handler has returned its
    /// stream.
    ///
    /// # Errors
    ///
    /// The status with which the call failed; `INVALID_ARGUMENT` if the method is of another kind.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(greeter: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
    /// let mut numbers = greeter.call("Count", r#"{"to": 3}"#).stream().await?;
    /// while let Some(number) = numbers.message().await? {
    ///     println!("{}", number.text()?);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn stream(self) -> Result<DynamicStreaming, Status> {
        let kinds = [MethodKind::ServerStreaming];
        let TypedCall { call, output, .. } = self.into_call(&kinds).await?;
        let is_json = call.request.client.format().is_json();
        Ok(DynamicStreaming {
            reader: call.open(WaitsFor::Open).await?,
            message_type: output,
            is_json,
            decoding: None,
            failure: None,
        })
    }

    /// Opens a call with many requests; completes when an instance has accepted it. The reply of a method
    /// that replies once is taken with [`DynamicStreaming::reply`].
    ///
    /// # Errors
    ///
    /// The status with which the call failed; `INVALID_ARGUMENT` if the method takes one request.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(greeter: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
    /// let (mut numbers, reply) = greeter.call_streaming("Sum").open().await?;
    /// numbers.send(r#"{"value": 1}"#).await?;
    /// numbers.send(r#"{"value": 2}"#).await?;
    /// numbers.finish().await?;
    /// println!("{}", reply.reply().await?.text()?);
    /// # Ok(()) }
    /// ```
    pub async fn open(self) -> Result<(DynamicSender, DynamicStreaming), Status> {
        let kinds = [MethodKind::ClientStreaming, MethodKind::Bidirectional];
        let TypedCall {
            call,
            input,
            output,
        } = self.into_call(&kinds).await?;
        let is_json = call.request.client.format().is_json();
        let method = call.request.descriptor();
        let reader = call.open(WaitsFor::Accept).await?;
        let sender = DynamicSender {
            method,
            sender: Sender::new(reader.shared_channel()),
            message_type: input,
            is_json,
        };
        let replies = DynamicStreaming {
            reader,
            message_type: output,
            is_json,
            decoding: None,
            failure: None,
        };
        Ok((sender, replies))
    }

    /// Returns the call with its options and its encoded request, if the method is one of these kinds.
    async fn into_call(self, kinds: &[MethodKind]) -> Result<TypedCall, Status> {
        let prepared = self.prepared?;
        let mut call = EncodedCall::new(&prepared.client, prepared.method, Bytes::new());
        call.request.options = self.options;
        call.stream_options = self.stream_options;
        check_kind(&call, kinds)?;
        if let Some(request) = prepared.request {
            let is_json = call.request.client.format().is_json();
            let method = call.request.descriptor();
            let encoding = message::encode(request, prepared.input.clone(), method, is_json);
            call.encode(encoding).await?;
        }
        Ok(TypedCall {
            call,
            input: prepared.input,
            output: prepared.output,
        })
    }
}

/// A call with the types of its messages.
struct TypedCall {
    call: EncodedCall,
    input: MessageDescriptor,
    output: MessageDescriptor,
}

impl RawCall {
    pub(super) fn new(client: Result<Client, Status>, payload: Bytes) -> Self {
        Self {
            client,
            payload,
            options: CallOptions::new(),
        }
    }

    call_option_methods! { (options):
        /// The default is the client's ([`ClientOptions::timeout`](crate::ClientOptions::timeout)), else
        /// 5 s. A responder that does not know `Micro-Timeout` ignores it.
        timeout;
        headers;
        wait_for_ready;
        expires;
        /// Makes this call a part of the call or event that `ctx` belongs to: it belongs to the same
        /// trace, and ends with that call, at its deadline at the latest.
        within;
        no_retry;
    }
}

impl IntoFuture for DynamicCall {
    type Output = Result<Dynamic, Status>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.call().await?.0) })
    }
}

impl IntoFuture for RawCall {
    type Output = Result<Reply<Bytes>, Status>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut call = EncodedCall::new(&self.client?, 0, self.payload);
            call.request.options = self.options;
            let method = call.request.descriptor();
            let reply = CallFuture::new(call.request).await?;
            let metadata = reply.metadata(method).metadata;
            let message = reply.into_payload();
            Ok(Reply { message, metadata })
        })
    }
}

/// Refuses a call of a method of another kind, with a text that names the way to make it.
fn check_kind(call: &EncodedCall, kinds: &[MethodKind]) -> Result<(), Status> {
    let method = call.request.descriptor();
    if kinds.contains(&method.kind) {
        return Ok(());
    }
    let way = match method.kind {
        MethodKind::Unary => "`call(…).await`",
        MethodKind::ServerStreaming => "`call(…).stream().await`",
        MethodKind::ClientStreaming | MethodKind::Bidirectional => {
            "`call_streaming(…).open().await`"
        }
    };
    Err(Status::invalid_argument(format!(
        "{} is {}: make the call with {way}",
        method.full_name,
        match method.kind {
            MethodKind::Unary => "unary",
            MethodKind::ServerStreaming => "server-streaming",
            MethodKind::ClientStreaming => "client-streaming",
            MethodKind::Bidirectional => "bidirectional",
        }
    )))
}

impl fmt::Debug for DynamicCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicCall").finish_non_exhaustive()
    }
}

impl fmt::Debug for RawCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawCall").finish_non_exhaustive()
    }
}
