//! `Context`: everything that a handler knows of its call or event besides the message.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::HeaderMap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::context::call_end::CallEnd;
use crate::context::context_headers::ContextHeaders;
#[cfg(feature = "jetstream")]
use crate::context::delivery::Delivery;
use crate::context::origin::Origin;
use crate::context::reply_metadata::ReplyMetadata;
use crate::context::stop_signal::StopSignal;
use crate::decode::DecodeScope;
use crate::descriptor::{EventDescriptor, MethodDescriptor};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::sync::lock;

/// Everything that a handler knows of its call or event besides the message: metadata, deadline, trace, origin.
///
/// It is owned and cheap to clone; clones are the same call. Nothing is inherited implicitly: a nested call has this
/// call's deadline and trace, and ends with it, only if it is made
/// [`.within(&ctx)`](crate::call::UnaryCall::within).
///
/// # Examples
///
/// ```
/// use micro_runtime::Context;
///
/// let ctx = Context::for_test();
/// assert_eq!(ctx.header("tenant"), None);
/// ctx.set_header("served-by", "a1")?;
/// # Ok::<(), micro_runtime::Status>(())
/// ```
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    method: Option<&'static MethodDescriptor>,
    headers: ContextHeaders,
    deadline: Option<Instant>,
    origin: Option<Origin>,
    #[cfg(feature = "jetstream")]
    delivery: Option<Delivery>,
    reply_metadata: Mutex<ReplyMetadata>,
    end: CallEnd,
    /// Of the server that runs the handler; `None` in a unit test, and for events that are read as a stream.
    stop: Option<StopSignal>,
    /// Of a call at a server whose messages count in its memory budget.
    decode_scope: Option<DecodeScope>,
    /// Context that the call began with, if this is a copy for a handler behind middleware that changed the
    /// metadata. Reply metadata and the end of the call belong to that one.
    outermost: Option<Context>,
}

impl Inner {
    fn new(headers: ContextHeaders, deadline: Option<Instant>, stop: Option<&StopSignal>) -> Self {
        Self {
            method: None,
            headers,
            deadline,
            origin: None,
            #[cfg(feature = "jetstream")]
            delivery: None,
            reply_metadata: Mutex::default(),
            end: CallEnd::default(),
            stop: stop.cloned(),
            decode_scope: None,
            outermost: None,
        }
    }

    /// Makes a context of it, in the allocation of `recycled` if no clone of that is left.
    fn into_context(self, recycled: Option<Context>) -> Context {
        if let Some(mut recycled) = recycled
            && let Some(inner) = Arc::get_mut(&mut recycled.0)
        {
            *inner = self;
            return recycled;
        }
        Context(Arc::new(self))
    }
}

impl Context {
    /// Makes the context of a call.
    pub(crate) fn of_call(
        method: &'static MethodDescriptor,
        headers: ContextHeaders,
        deadline: Option<Instant>,
        stop: &StopSignal,
        decode_scope: Option<DecodeScope>,
    ) -> Self {
        let inner = Inner {
            method: Some(method),
            decode_scope,
            ..Inner::new(headers, deadline, Some(stop))
        };
        inner.into_context(None)
    }

    /// Makes the context of an event.
    ///
    /// `recycled` is a context that is no longer needed: short handlers of events then cost no allocation. It keeps
    /// subject and metadata of its own event alive until it is recycled.
    pub(crate) fn of_event(
        origin: Origin,
        headers: ContextHeaders,
        deadline: Option<Instant>,
        stop: Option<&StopSignal>,
        recycled: Option<Self>,
    ) -> Self {
        let inner = Inner {
            origin: Some(origin),
            ..Inner::new(headers, deadline, stop)
        };
        inner.into_context(recycled)
    }

    /// Makes the context of a durable event; `recycled` as for [`of_event`](Self::of_event).
    #[cfg(feature = "jetstream")]
    pub(crate) fn of_delivery(
        origin: Option<Origin>,
        headers: ContextHeaders,
        delivery: Delivery,
        stop: Option<&StopSignal>,
        recycled: Option<Self>,
    ) -> Self {
        let inner = Inner {
            origin,
            delivery: Some(delivery),
            ..Inner::new(headers, None, stop)
        };
        inner.into_context(recycled)
    }

    /// Makes the context of a batch of durable events, each of which has a delivery of its own.
    #[cfg(feature = "jetstream")]
    pub(crate) fn of_batch(stop: &StopSignal) -> Self {
        Inner::new(ContextHeaders::default(), None, Some(stop)).into_context(None)
    }

    /// Makes a context without method, metadata and deadline, to call a handler from a unit test.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Context, Status};
    ///
    /// async fn greet(ctx: Context, name: &str) -> Result<String, Status> {
    ///     ctx.set_header("served-by", "a1")?;
    ///     Ok(format!("Hello, {name}!"))
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let ctx = Context::for_test();
    /// assert_eq!(greet(ctx.clone(), "Ada").await?, "Hello, Ada!");
    /// assert_eq!(ctx.reply_metadata().get("served-by"), Some("a1"));
    /// # Ok::<(), Status>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn for_test() -> Self {
        Self::for_test_with(Metadata::new(), None)
    }

    /// Makes a context with metadata and a timeout from now, to call a handler from a unit test.
    #[must_use]
    pub fn for_test_with(metadata: Metadata, timeout: Option<Duration>) -> Self {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Inner::new(metadata.into(), deadline, None).into_context(None)
    }

    /// Makes the context of a durable event, to call a handler from a unit test.
    #[cfg(feature = "jetstream")]
    #[must_use]
    pub fn for_test_of(delivery: Delivery) -> Self {
        Self::of_delivery(None, ContextHeaders::default(), delivery, None, None)
    }

    /// Returns the same call with other metadata, for the handler behind middleware.
    pub(crate) fn with_metadata(&self, metadata: Metadata) -> Self {
        let headers = ContextHeaders {
            metadata,
            trace: self.0.headers.trace.clone(),
            has_timeout: self.0.headers.has_timeout,
        };
        let inner = Inner {
            method: self.0.method,
            decode_scope: self.0.decode_scope.clone(),
            outermost: Some(self.outermost().clone()),
            ..Inner::new(headers, self.0.deadline, self.0.stop.as_ref())
        };
        inner.into_context(None)
    }

    /// Returns what the messages of the call are decoded against, where they count.
    pub(crate) fn decode_scope(&self) -> Option<&DecodeScope> {
        self.0.decode_scope.as_ref()
    }

    fn outermost(&self) -> &Self {
        self.0.outermost.as_ref().unwrap_or(self)
    }

    /// Returns the method that is called; `None` for an event and in a unit test.
    #[must_use]
    pub fn method(&self) -> Option<&'static MethodDescriptor> {
        self.0.method
    }

    /// Returns the kind of the event; `None` for a call, for raw bytes and in a unit test.
    #[must_use]
    pub fn event(&self) -> Option<&'static EventDescriptor> {
        self.0.origin.as_ref().and_then(|origin| origin.event)
    }

    /// Returns the subject that an event was published under, without the prefix of the bus; `None` for a call.
    ///
    /// [`EventDescriptor::parse`] reads the fields back. Handlers should read fields from the event itself.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.origin.as_ref()?.unprefixed_subject()
    }

    /// Returns the position of a durable event in its stream, and how often it has been delivered; `None` for calls,
    /// and for events that are not durable.
    #[cfg(feature = "jetstream")]
    #[must_use]
    pub fn delivery(&self) -> Option<&Delivery> {
        self.outermost().0.delivery.as_ref()
    }

    /// Returns the metadata that the caller, or the publisher, added to the message.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.0.headers.metadata
    }

    /// Returns the first text value of a header of the message, as [`Metadata::get`].
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.metadata().get(name)
    }

    /// Returns the time at which the caller stops waiting; the handler is dropped then. `None` if there is no limit.
    /// It is a time of tokio's clock, as all times of this crate are.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// Returns whether the caller has chosen the time that it waits, as by
    /// [`.timeout(…)`](crate::call::UnaryCall::timeout). Otherwise the deadline of a unary call is the protocol's
    /// default of 5 s, or the server's own if that is shorter.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::Context;
    ///
    /// assert!(!Context::for_test().has_caller_timeout());
    /// ```
    #[must_use]
    pub fn has_caller_timeout(&self) -> bool {
        self.0.headers.has_timeout
    }

    /// Returns the time left until the deadline: zero once it has passed, `None` if there is no limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use micro_runtime::{Context, Metadata};
    ///
    /// let ctx = Context::for_test_with(Metadata::new(), Some(Duration::from_secs(5)));
    /// assert!(ctx.remaining().is_some_and(|left| left <= Duration::from_secs(5)));
    /// ```
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline()
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Adds a header to the reply, whether that is a message or a failure. On a streaming call it is sent before the
    /// first reply, or with the end if the handler has returned its stream already. Ignored for events.
    ///
    /// # Errors
    ///
    /// As [`Metadata::append`]: a reserved or malformed name, an invalid value, more than 8 KiB in all.
    pub fn set_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Status> {
        lock(&self.outermost().0.reply_metadata)
            .headers
            .append(name, value)
    }

    /// Adds a header that is sent after the last reply of a streaming call; on a unary call, as
    /// [`set_header`](Self::set_header).
    ///
    /// # Errors
    ///
    /// As [`Metadata::append`]: a reserved or malformed name, an invalid value, more than 8 KiB in all.
    pub fn set_trailer(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Status> {
        lock(&self.outermost().0.reply_metadata)
            .trailers
            .append(name, value)
    }

    /// Returns the headers that [`set_header`](Self::set_header) has added and that are not sent yet.
    #[must_use]
    pub fn reply_metadata(&self) -> Metadata {
        lock(&self.outermost().0.reply_metadata).headers.clone()
    }

    /// Takes the headers that are sent before the first reply of a stream.
    pub(crate) fn take_headers(&self) -> Metadata {
        lock(&self.outermost().0.reply_metadata).take_headers()
    }

    /// Takes all headers and trailers that have not been sent, for the end of the call.
    pub(crate) fn take_reply_metadata(&self) -> Metadata {
        lock(&self.outermost().0.reply_metadata).take_rest()
    }

    /// Returns whether this call has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.outermost().0.end.has_ended()
    }

    /// Returns the signal of the server's stop; `None` without a server.
    pub(super) fn stop_signal(&self) -> Option<&StopSignal> {
        self.0.stop.as_ref()
    }

    /// Returns the token that is canceled when this call ends.
    pub(crate) fn end_token(&self) -> &CancellationToken {
        self.outermost().0.end.token()
    }

    /// Ends the call, and with it everything that was made within it.
    pub(crate) fn end(&self) {
        self.outermost().0.end.end();
    }

    /// Returns the W3C headers of the caller, which nested calls forward.
    pub(crate) fn trace(&self) -> Option<&HeaderMap> {
        self.0.headers.trace.as_ref()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("method", &self.method().map(|method| method.full_name))
            .field("metadata", self.metadata())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
