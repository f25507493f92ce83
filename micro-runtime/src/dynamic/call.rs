//! Calls by a `DynamicClient`: what they say before they are made, and how they are made.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use prost_reflect::MessageDescriptor;

use crate::client::{Call, CallFuture, Reply, WaitsFor};
use crate::context::Context;
use crate::descriptor::MethodKind;
use crate::dynamic::message;
use crate::dynamic::message::Dynamic;
use crate::dynamic::stream::{DynamicSender, DynamicStreaming};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::{Sender, StreamOptions};
use crate::wire;

/// A call of a method that was unknown at compile time. It is made when it is awaited.
#[must_use = "a call is made when it is awaited"]
pub struct DynamicCall(pub(super) Result<Prepared, Status>);

/// A call of an endpoint with bytes; see [`DynamicClient::call_raw`](super::DynamicClient::call_raw).
/// It is made when it is awaited.
#[must_use = "a call is made when it is awaited"]
pub struct RawCall(pub(super) Result<Call, Status>);

/// A call whose method is known and whose message fits it.
pub(super) struct Prepared {
    pub(super) call: Call,
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
}

trait CallOptionMethods: Sized {
    fn call(&mut self) -> Option<&mut Call>;
}

impl CallOptionMethods for DynamicCall {
    fn call(&mut self) -> Option<&mut Call> {
        self.0.as_mut().ok().map(|prepared| &mut prepared.call)
    }
}

impl CallOptionMethods for RawCall {
    fn call(&mut self) -> Option<&mut Call> {
        self.0.as_mut().ok()
    }
}

macro_rules! says {
    ($($name:ident)*) => {$(
        impl $name {
            /// How long to wait, or how long a stream may take; the server is told.
            pub fn timeout(mut self, timeout: Duration) -> Self {
                if let Some(call) = self.call() {
                    call.request.timeout = Some(timeout);
                }
                self
            }

            /// Adds a header. What is wrong with it is the error of the call; see
            /// [`Metadata::append`].
            pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
                if let Some(call) = self.call() {
                    call.request.add_header(name, value);
                }
                self
            }

            /// Makes this call a part of the one that `ctx` belongs to: it ends at that call's
            /// deadline at the latest, and belongs to the same trace.
            pub fn within(mut self, ctx: &Context) -> Self {
                if let Some(call) = self.call() {
                    call.request.parent = Some(ctx.clone());
                }
                self
            }

            /// Sends the request once, also when nobody was there.
            pub fn no_retry(mut self) -> Self {
                if let Some(call) = self.call() {
                    call.request.may_retry = false;
                }
                self
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

says! {
    DynamicCall
    RawCall
}

impl DynamicCall {
    /// Sets what a stream may have under way, and how long the server may be silent.
    pub fn stream_options(mut self, options: StreamOptions) -> Self {
        if let Some(call) = self.call() {
            call.options = options;
        }
        self
    }

    /// Makes a call with one reply, and gives the headers of the reply too.
    ///
    /// # Errors
    ///
    /// The status with which the call failed; `INVALID_ARGUMENT` if the method streams.
    pub async fn with_metadata(self) -> Result<Reply<Dynamic>, Status> {
        let Prepared { call, output, .. } = self.0?;
        check(&call, &[MethodKind::Unary])?;
        let is_json = call.request.client.is_json();
        let reply = CallFuture::new(call.request).await?;
        let metadata = reply.metadata()?;
        let payload = reply.into_payload();
        wire::check_not_jetstream(&payload)?;
        let message = message::decode(payload, &output, is_json)?;
        Ok(Reply { message, metadata })
    }

    /// Makes a call with one request and many replies; ends when the handler has returned its stream.
    ///
    /// # Errors
    ///
    /// The status with which the call failed; `INVALID_ARGUMENT` if the method is of another kind.
    pub async fn stream(self) -> Result<DynamicStreaming, Status> {
        let Prepared { call, output, .. } = self.0?;
        check(&call, &[MethodKind::ServerStreaming])?;
        let is_json = call.request.client.is_json();
        Ok(DynamicStreaming {
            reader: call.open(WaitsFor::Open).await?,
            kind: output,
            is_json,
        })
    }

    /// Opens a call with many requests; ends when an instance has accepted it. A method that replies
    /// once does so with [`DynamicStreaming::reply`].
    ///
    /// # Errors
    ///
    /// The status with which the call failed; `INVALID_ARGUMENT` if the method takes one request.
    pub async fn open(self) -> Result<(DynamicSender, DynamicStreaming), Status> {
        let Prepared {
            call,
            input,
            output,
        } = self.0?;
        check(
            &call,
            &[MethodKind::ClientStreaming, MethodKind::Bidirectional],
        )?;
        let is_json = call.request.client.is_json();
        let reader = call.open(WaitsFor::Accept).await?;
        let sender = DynamicSender {
            sender: Sender::new(reader.shared_channel()),
            kind: input,
            is_json,
        };
        let replies = DynamicStreaming {
            reader,
            kind: output,
            is_json,
        };
        Ok((sender, replies))
    }
}

impl IntoFuture for DynamicCall {
    type Output = Result<Dynamic, Status>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.with_metadata().await?.message) })
    }
}

impl IntoFuture for RawCall {
    type Output = Result<Reply<Bytes>, Status>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let reply = CallFuture::new(self.0?.request).await?;
            // Others may have headers that are no metadata of ours.
            let metadata = reply.metadata().unwrap_or_else(|_| Metadata::new());
            let message = reply.into_payload();
            Ok(Reply { message, metadata })
        })
    }
}

fn check(call: &Call, kinds: &[MethodKind]) -> Result<(), Status> {
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
