//! `Request` and `Next`: an encoded request on its way through the layers, and the part of the way that is left.
//!
//! A request carries its own way: the stacks of layers that it has not passed, and the terminal behind them. So a layer
//! that was built once, when the server started, can be shared by calls that end at different handlers: the layers
//! around all methods of a service are one set of services with one state, as a rate limit needs it.
//!
//! Each call has a number, by which [`LayeredCall`] distinguishes the failure of the call itself from one that a layer
//! got from a call of its own: only the former keeps the reason of the runtime (docs/PROTOCOL.md, FAIL-8).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tower::Service;

use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::metadata::Metadata;
use crate::middleware::response::{Response, ResponseFuture};
use crate::status::Status;

/// Encoded request of a call, on its way through the layers.
///
/// A clone is a second request: a layer may pass both on, as a retry does, except on streaming calls.
#[derive(Clone)]
pub struct Request {
    method: &'static MethodDescriptor,
    metadata: Metadata,
    deadline: Option<Instant>,
    payload: Bytes,
    context: Option<Context>,
    /// Stacks of layers that are left, the next one last.
    stacks: Vec<Next>,
    terminal: Arc<dyn Terminal>,
    /// Number of the call in this process, from 1; clones share it.
    number: u64,
}

/// A call on its way through all layers. A failure has a reason only if the runtime ended this very call.
#[must_use = "futures do nothing unless they are polled"]
pub(crate) struct LayeredCall {
    future: ResponseFuture,
    number: u64,
}

/// A call behind all layers, whose failure is noted as its own.
struct TerminalCall {
    future: ResponseFuture,
    number: u64,
}

/// Number of the last call that passed layers.
static LAST_NUMBER: AtomicU64 = AtomicU64::new(0);

/// Remainder of a call: the inner layers, then the handler or the connection. It is always ready.
#[derive(Clone)]
pub struct Next(Option<Arc<dyn Stack>>);

/// Fails every call, of a client whose options are wrong.
struct FailingLayer(Status);

/// End of the way of a request, behind all layers: a handler at the server, the connection at the client.
pub(crate) trait Terminal: Send + Sync {
    fn call(&self, request: Request) -> ResponseFuture;
}

/// Layers around a [`Next`], as one service.
pub(super) trait Stack: Send + Sync {
    fn call(&self, request: Request) -> ResponseFuture;
}

impl Request {
    /// Makes a request that passes `stacks`, the outermost first, and then calls `terminal`.
    pub(crate) fn new(
        method: &'static MethodDescriptor,
        metadata: Metadata,
        deadline: Option<Instant>,
        payload: Bytes,
        stacks: impl DoubleEndedIterator<Item = Next>,
        terminal: Arc<dyn Terminal>,
    ) -> Self {
        Self {
            method,
            metadata,
            deadline,
            payload,
            context: None,
            stacks: stacks.rev().collect(),
            terminal,
            number: LAST_NUMBER.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// Adds the context of the call, at the server.
    pub(crate) fn with_context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Sends the request through all layers to the terminal.
    pub(crate) fn start(self) -> LayeredCall {
        LayeredCall {
            number: self.number,
            future: self.proceed(),
        }
    }

    /// Calls the next stack of layers, or the terminal if none is left.
    fn proceed(mut self) -> ResponseFuture {
        match self.stacks.pop() {
            Some(Next(Some(stack))) => stack.call(self),
            Some(Next(None)) => self.proceed(),
            None => {
                let number = self.number;
                let future = Arc::clone(&self.terminal).call(self);
                Box::pin(TerminalCall { future, number })
            }
        }
    }

    /// Returns the method that is called.
    #[must_use]
    pub fn method(&self) -> &'static MethodDescriptor {
        self.method
    }

    /// Returns the metadata of the request.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns the metadata of the request, to add to it. At the server the handler sees the change in its context, at
    /// the client it is sent.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// Returns the deadline of the call; `None` if it has none. Layers cannot extend it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns the time left until the deadline: zero once it has passed, `None` if there is none.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Returns the encoded message, in protobuf; empty if the caller of a streaming method sends many.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Returns the context of the call; `None` at the client.
    #[must_use]
    pub fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }
}

impl Future for LayeredCall {
    type Output = Result<Response, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let number = self.number;
        let polled = self.future.as_mut().poll(cx);
        polled.map_err(|status| status.of_layered_call(number))
    }
}

impl Future for TerminalCall {
    type Output = Result<Response, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let number = self.number;
        let polled = self.future.as_mut().poll(cx);
        polled.map_err(|status| status.ending_call(number))
    }
}

impl Next {
    /// Returns the end of a stack: the request goes on with the stacks that it carries.
    pub(super) const fn none() -> Self {
        Self(None)
    }

    pub(super) fn of(stack: impl Stack + 'static) -> Self {
        Self(Some(Arc::new(stack)))
    }

    /// Returns a layer that fails every call with this status.
    pub(crate) fn failing(status: Status) -> Self {
        Self::of(FailingLayer(status))
    }

    /// Returns whether there are no layers, so that a call need not pass through here.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Stack for FailingLayer {
    fn call(&self, _: Request) -> ResponseFuture {
        Box::pin(std::future::ready(Err(self.0.clone())))
    }
}

impl Service<Request> for Next {
    type Response = Response;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match &self.0 {
            Some(stack) => stack.call(request),
            None => request.proceed(),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method.full_name)
            .field("metadata", &self.metadata)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}
