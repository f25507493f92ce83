//! `Context`: what a handler knows of its call besides the message.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_nats::HeaderMap;

use crate::descriptor::MethodDescriptor;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::sync::lock;

/// What a handler knows of its call: method, metadata, deadline, trace.
///
/// It is owned and cheap to clone. Nothing is inherited in secret: a nested call has this call's
/// deadline and trace only when it is made [`.within(&ctx)`](crate::UnaryCall::within).
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
    answer: Mutex<Metadata>,
}

impl Context {
    pub(crate) fn new(
        method: &'static MethodDescriptor,
        metadata: Metadata,
        deadline: Option<Instant>,
        trace: Option<HeaderMap>,
    ) -> Self {
        Self(Arc::new(Inner {
            method: Some(method),
            metadata,
            deadline,
            trace,
            answer: Mutex::default(),
        }))
    }

    /// Makes a context without method, metadata and deadline, to call a handler from a unit test.
    #[must_use]
    pub fn for_test() -> Self {
        Self::for_test_with(Metadata::new(), None)
    }

    /// Makes a context with metadata and a time limit, to call a handler from a unit test.
    #[must_use]
    pub fn for_test_with(metadata: Metadata, timeout: Option<Duration>) -> Self {
        Self(Arc::new(Inner {
            method: None,
            metadata,
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            trace: None,
            answer: Mutex::default(),
        }))
    }

    /// The method that is called; `None` in a unit test.
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

    /// Adds a header to the reply, be it a message or a status.
    ///
    /// # Errors
    ///
    /// As [`Metadata::append`]: a reserved name, a bad value, too much in all.
    pub fn set_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Status> {
        lock(&self.0.answer).append(name, value)
    }

    /// What [`set_header`](Self::set_header) has gathered so far.
    #[must_use]
    pub fn answer_metadata(&self) -> Metadata {
        lock(&self.0.answer).clone()
    }

    pub(crate) fn take_answer_metadata(&self) -> Metadata {
        std::mem::take(&mut *lock(&self.0.answer))
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
