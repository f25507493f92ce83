//! `Context`: what a handler knows of its call besides the message.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_nats::{HeaderMap, Subject};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "jetstream")]
use crate::context::delivery::Delivery;
use crate::descriptor::{EventDescriptor, MethodDescriptor};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::sync::lock;

/// What a handler knows of its call: method, metadata, deadline, trace.
///
/// It is owned and cheap to clone. Nothing is inherited in secret: a nested call has this call's
/// deadline and trace only when it is made [`.within(&ctx)`](crate::call::UnaryCall::within).
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
    metadata: Metadata,
    deadline: Option<Instant>,
    trace: Option<HeaderMap>,
    origin: Option<Origin>,
    #[cfg(feature = "jetstream")]
    delivery: Option<Delivery>,
    answer: Mutex<ReplyMetadata>,
    has_ended: AtomicBool,
    /// Made for the first who asks when the call ends; most calls have nobody who does.
    ended: OnceLock<CancellationToken>,
    /// Behind middleware that changed the metadata: the context that the call began with.
    outer: Option<Context>,
}

/// What goes back besides messages.
#[derive(Default)]
struct ReplyMetadata {
    headers: Metadata,
    trailers: Metadata,
}

impl Inner {
    fn new(
        method: Option<&'static MethodDescriptor>,
        metadata: Metadata,
        deadline: Option<Instant>,
        trace: Option<HeaderMap>,
    ) -> Self {
        Self {
            method,
            metadata,
            deadline,
            trace,
            origin: None,
            #[cfg(feature = "jetstream")]
            delivery: None,
            answer: Mutex::default(),
            has_ended: AtomicBool::new(false),
            ended: OnceLock::new(),
            outer: None,
        }
    }
}

/// Where an event came from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Absent for bytes of no known kind.
    pub(crate) event: Option<&'static EventDescriptor>,
    pub(crate) subject: Subject,
    /// How much of the subject is the bus's, with the dot.
    pub(crate) prefix: usize,
}

impl Context {
    pub(crate) fn new(
        method: &'static MethodDescriptor,
        metadata: Metadata,
        deadline: Option<Instant>,
        trace: Option<HeaderMap>,
    ) -> Self {
        Self::with(Some(method), metadata, deadline, trace, None)
    }

    /// The context of an event, in the memory of `spare` if nobody else has that any more: until then
    /// a spare one keeps subject and metadata of its event.
    pub(crate) fn of_event(
        origin: Origin,
        metadata: Metadata,
        deadline: Option<Instant>,
        trace: Option<HeaderMap>,
        spare: Option<Self>,
    ) -> Self {
        let inner = Inner {
            origin: Some(origin),
            ..Inner::new(None, metadata, deadline, trace)
        };
        Self::in_place_of(spare, inner)
    }

    fn in_place_of(spare: Option<Self>, inner: Inner) -> Self {
        if let Some(mut spare) = spare
            && let Some(room) = Arc::get_mut(&mut spare.0)
        {
            *room = inner;
            return spare;
        }
        Self(Arc::new(inner))
    }

    fn with(
        method: Option<&'static MethodDescriptor>,
        metadata: Metadata,
        deadline: Option<Instant>,
        trace: Option<HeaderMap>,
        outer: Option<Self>,
    ) -> Self {
        Self(Arc::new(Inner {
            outer,
            ..Inner::new(method, metadata, deadline, trace)
        }))
    }

    /// The context of a durable event.
    #[cfg(feature = "jetstream")]
    pub(crate) fn of_delivery(
        origin: Option<Origin>,
        metadata: Metadata,
        trace: Option<HeaderMap>,
        delivery: Delivery,
        spare: Option<Self>,
    ) -> Self {
        let inner = Inner {
            origin,
            delivery: Some(delivery),
            ..Inner::new(None, metadata, None, trace)
        };
        Self::in_place_of(spare, inner)
    }

    /// The context of events that are handled together.
    #[cfg(feature = "jetstream")]
    pub(crate) fn of_batch() -> Self {
        Self::with(None, Metadata::new(), None, None, None)
    }

    /// Makes the context of a durable event, to call a handler from a unit test.
    #[cfg(feature = "jetstream")]
    #[must_use]
    pub fn for_test_of(delivery: Delivery) -> Self {
        Self::of_delivery(None, Metadata::new(), None, delivery, None)
    }

    /// Which stored event this is, and how often it has been delivered; `None` for calls and for
    /// events that are not durable.
    #[cfg(feature = "jetstream")]
    #[must_use]
    pub fn delivery(&self) -> Option<&Delivery> {
        self.outermost().0.delivery.as_ref()
    }

    /// The same call with other metadata.
    pub(crate) fn with_metadata(&self, metadata: Metadata) -> Self {
        let trace = self.0.trace.clone();
        let outer = Some(self.outermost().clone());
        Self::with(self.0.method, metadata, self.0.deadline, trace, outer)
    }

    fn outermost(&self) -> &Self {
        self.0.outer.as_ref().unwrap_or(self)
    }

    /// Makes a context without method, metadata and deadline, to call a handler from a unit test.
    #[must_use]
    pub fn for_test() -> Self {
        Self::for_test_with(Metadata::new(), None)
    }

    /// Makes a context with metadata and a time limit, to call a handler from a unit test.
    #[must_use]
    pub fn for_test_with(metadata: Metadata, timeout: Option<Duration>) -> Self {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self::with(None, metadata, deadline, None, None)
    }

    /// The kind of event that is handled; `None` for a call, for raw bytes and in a unit test.
    #[must_use]
    pub fn event(&self) -> Option<&'static EventDescriptor> {
        self.0.origin.as_ref().and_then(|origin| origin.event)
    }

    /// The subject that an event was published under, without the prefix of the bus; `None` for a
    /// call. [`EventDescriptor::parse`] reads the fields back; what a handler goes by is in the event.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        let origin = self.0.origin.as_ref()?;
        origin.subject.get(origin.prefix..)
    }

    /// The method that is called; `None` for an event and in a unit test.
    #[must_use]
    pub fn method(&self) -> Option<&'static MethodDescriptor> {
        self.0.method
    }

    /// What the caller added to the request.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// The first text value of a header of the request.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.metadata().get(name)
    }

    /// When the caller stops waiting; the handler is dropped then.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// What is left until the deadline; zero once it has passed.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline()
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Adds a header to the reply, be it a message or a status. On a streaming call it goes before
    /// the first reply, until the handler has returned its stream.
    ///
    /// # Errors
    ///
    /// As [`Metadata::append`]: a reserved name, a bad value, too much in all.
    pub fn set_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Status> {
        lock(&self.outermost().0.answer).headers.append(name, value)
    }

    /// Adds a header that follows the last reply of a streaming call; on a unary call, as
    /// [`set_header`](Self::set_header).
    ///
    /// # Errors
    ///
    /// As [`Metadata::append`]: a reserved name, a bad value, too much in all.
    pub fn set_trailer(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Status> {
        lock(&self.outermost().0.answer)
            .trailers
            .append(name, value)
    }

    /// What [`set_header`](Self::set_header) has gathered so far.
    #[must_use]
    pub fn reply_metadata(&self) -> Metadata {
        lock(&self.outermost().0.answer).headers.clone()
    }

    /// What goes back before the first reply of a stream.
    pub(crate) fn take_headers(&self) -> Metadata {
        std::mem::take(&mut lock(&self.outermost().0.answer).headers)
    }

    /// What goes back with the last word, whatever has not gone before.
    pub(crate) fn take_reply_metadata(&self) -> Metadata {
        let ReplyMetadata { headers, trailers } =
            std::mem::take(&mut *lock(&self.outermost().0.answer));
        headers.followed_by(trailers)
    }

    /// Waits until this call has ended: answered, given up at its deadline, or ended with its
    /// server. For tasks that a handler leaves behind.
    pub async fn ended(&self) {
        self.end_token().cancelled().await;
    }

    /// Says whether this call has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.outermost().0.has_ended.load(Ordering::SeqCst)
    }

    /// What ends together with this call.
    pub(crate) fn end_token(&self) -> &CancellationToken {
        let inner = &self.outermost().0;
        let ended = inner.ended.get_or_init(CancellationToken::new);
        // The call may have ended before anybody asked.
        if inner.has_ended.load(Ordering::SeqCst) {
            ended.cancel();
        }
        ended
    }

    pub(crate) fn end(&self) {
        let inner = &self.outermost().0;
        inner.has_ended.store(true, Ordering::SeqCst);
        if let Some(ended) = inner.ended.get() {
            ended.cancel();
        }
    }

    pub(crate) fn trace(&self) -> Option<&HeaderMap> {
        self.0.trace.as_ref()
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
