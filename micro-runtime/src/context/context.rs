//! `Context`: everything that a handler knows of its call or event besides the message.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::HeaderMap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::context::call_end::CallEnd;
use crate::context::context_headers::ContextHeaders;
use crate::context::deadline_extension::DeadlineExtension;
#[cfg(feature = "jetstream")]
use crate::context::delivery::Delivery;
use crate::context::origin::Origin;
use crate::context::reply_metadata::ReplyMetadata;
use crate::context::stop_signal::StopSignal;
#[cfg(feature = "jetstream")]
use crate::context::time_limit::TimeLimit;
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
    extension: DeadlineExtension,
    origin: Option<Origin>,
    #[cfg(feature = "jetstream")]
    delivery: Option<Delivery>,
    /// Of the events of a batch.
    #[cfg(feature = "jetstream")]
    batch: Vec<Context>,
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
            extension: DeadlineExtension::default(),
            origin: None,
            #[cfg(feature = "jetstream")]
            delivery: None,
            #[cfg(feature = "jetstream")]
            batch: Vec::new(),
            reply_metadata: Mutex::default(),
            end: CallEnd::default(),
            stop: stop.cloned(),
            decode_scope: None,
            outermost: None,
        }
    }

    /// Makes one whose deadline moves with the progress of its handler.
    #[cfg(feature = "jetstream")]
    fn with_progress(
        headers: ContextHeaders,
        limit: Option<TimeLimit>,
        stop: Option<&StopSignal>,
    ) -> Self {
        Self {
            extension: DeadlineExtension::by_progress(limit.map(|limit| limit.timeout)),
            ..Self::new(headers, limit.map(|limit| limit.deadline), stop)
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

    /// Makes the context of a durable event; `recycled` as for [`of_event`](Self::of_event). Its handler may report
    /// progress, which begins the timeout of `limit` anew.
    #[cfg(feature = "jetstream")]
    pub(crate) fn of_delivery(
        origin: Option<Origin>,
        headers: ContextHeaders,
        delivery: Delivery,
        limit: Option<TimeLimit>,
        stop: Option<&StopSignal>,
        recycled: Option<Self>,
    ) -> Self {
        let inner = Inner {
            origin,
            delivery: Some(delivery),
            ..Inner::with_progress(headers, limit, stop)
        };
        inner.into_context(recycled)
    }

    /// Makes the context of a batch of durable `events`, each of which has a context of its own.
    #[cfg(feature = "jetstream")]
    pub(crate) fn of_batch(events: Vec<Self>, limit: Option<TimeLimit>, stop: &StopSignal) -> Self {
        let inner = Inner {
            batch: events,
            ..Inner::with_progress(ContextHeaders::default(), limit, Some(stop))
        };
        inner.into_context(None)
    }

    /// Makes the context of a call that no server has received.
    pub(super) fn of_test(metadata: Metadata, deadline: Option<Instant>) -> Self {
        Inner::new(metadata.into(), deadline, None).into_context(None)
    }

    /// Returns the context of one event of a batch, which is the same execution as the whole; without metadata, if the
    /// event is none of the batch.
    #[cfg(feature = "jetstream")]
    pub(super) fn of_event_in_batch(&self, delivery: &Delivery) -> Self {
        let whole = self.outermost();
        let is_it = |event: &&Self| event.delivery().is_some_and(|own| own.is_of_same(delivery));
        let event = whole.0.batch.iter().find(is_it);
        let headers = event.map(|event| event.0.headers.clone());
        let inner = Inner {
            origin: event.and_then(|event| event.0.origin.clone()),
            delivery: Some(delivery.clone()),
            outermost: Some(whole.clone()),
            ..Inner::new(
                headers.unwrap_or_default(),
                whole.0.deadline,
                whole.0.stop.as_ref(),
            )
        };
        inner.into_context(None)
    }

    /// Returns the same call with other metadata, for the handler behind middleware.
    pub(crate) fn with_metadata(&self, metadata: Metadata) -> Self {
        let headers = ContextHeaders {
            metadata,
            trace: self.0.headers.trace.clone(),
            has_timeout: self.0.headers.has_timeout,
            ..ContextHeaders::default()
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
        let own = self.0.delivery.as_ref();
        own.or(self.outermost().0.delivery.as_ref())
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
    ///
    /// Of a durable event it is the end of `Durable::handler_timeout`, which [`progress`](Self::progress) moves.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let extension = &self.outermost().0.extension;
        self.0.deadline.map(|first| extension.apply(first))
    }

    /// Begins the timeout of a durable event's handler anew.
    pub(super) fn restart_deadline(&self) {
        let inner = &self.outermost().0;
        inner.extension.restart(inner.deadline);
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

    /// Returns the W3C headers of the events of a batch.
    #[cfg(feature = "jetstream")]
    pub(crate) fn traces_of_batch(&self) -> impl Iterator<Item = &HeaderMap> {
        self.0.batch.iter().filter_map(Self::trace)
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
