//! A subscriber without its types: decodes, calls, counts and logs.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use tracing::Span;

use crate::context::Context;
use crate::descriptor::EventDescriptor;
use crate::event;
use crate::event::counters::EventCounters;
use crate::event::event::Event;
use crate::event::inline_slot::{EventCall, EventFuture, InlineSlot};
use crate::event::subscriber::Subscriber;
use crate::execute::PollCost;
use crate::observe;
use crate::status::{Reason, Status};

/// A subscriber without its types: bytes in, a status out. Decodes, calls, counts and logs; never
/// panics.
#[derive(Clone)]
#[doc(hidden)]
pub struct EventHandler {
    pub(crate) event: &'static EventDescriptor,
    pub(crate) counters: Arc<EventCounters>,
    pub(super) call: Arc<dyn EventCall>,
}

/// Handles one event after the other, without an allocation for each but its context.
pub(crate) struct InlineRunner {
    shared: EventHandler,
    /// Never locked: a handler may be moved from thread to thread, and no more.
    place: Mutex<Box<dyn InlineSlot>>,
    /// The context of the last event.
    spare: Option<Context>,
}

/// An event whose handler has begun, or is to, wherever it can wait.
pub(crate) struct SuspendedHandler {
    handling: EventFuture,
    running: ActiveEvent,
    shared: EventHandler,
}

/// An event in hand; what was made within it ends with it.
struct ActiveEvent {
    ctx: Context,
    span: Span,
}

impl EventHandler {
    pub(crate) fn new<E: Event>(subscriber: impl Subscriber<E>) -> Self {
        let subscriber = Arc::new(subscriber);
        let call = move |ctx: Context, payload: Bytes| {
            let subscriber = Arc::clone(&subscriber);
            async move {
                let event = event::decode::<E>(payload)?;
                let handled = subscriber.__shared_on_event(ctx, event).await;
                // What a nested call's runtime said is this handler's word now.
                handled.map_err(|status| status.with_reason(None))
            }
        };
        Self {
            event: E::DESCRIPTOR,
            counters: Arc::new(EventCounters::new(E::DESCRIPTOR)),
            call: Arc::new(call),
        }
    }

    /// Room to handle events in place.
    pub(crate) fn in_place(&self) -> InlineRunner {
        InlineRunner {
            place: Mutex::new(Arc::clone(&self.call).place()),
            spare: None,
            shared: self.clone(),
        }
    }

    /// Handles one event, until the deadline of its context; its first poll is timed.
    ///
    /// # Errors
    ///
    /// The handler's status; with a [`Reason`], what the runtime itself has to say: that the bytes
    /// are no such event, that the handler panicked, or that time is up.
    pub(crate) async fn handle(
        &self,
        ctx: Context,
        payload: Bytes,
        pace: Option<&PollCost>,
    ) -> Result<(), Status> {
        let span = begin(self.event, &ctx);
        let running = ActiveEvent { ctx, span };
        let started = SuspendedHandler {
            handling: self.call.begin(running.ctx.clone(), payload),
            running,
            shared: self.clone(),
        };
        started.end(pace).await
    }
}

impl InlineRunner {
    /// The context of the last event: the next one may have its memory.
    pub(crate) fn spare(&mut self) -> Option<Context> {
        self.spare.take()
    }

    /// Polls the handler of an event once. What is ready is counted.
    ///
    /// # Errors
    ///
    /// The event, if its handler has to wait. Within, what [`EventHandler::handle`] says.
    pub(crate) fn handle(
        &mut self,
        ctx: Context,
        payload: Bytes,
    ) -> Result<Result<(), Status>, SuspendedHandler> {
        let span = begin(self.shared.event, &ctx);
        let place = self.place.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Whoever is not ready is polled again where it can wait.
        let mut cx = TaskContext::from_waker(Waker::noop());
        let polled = {
            let _entered = span.enter();
            catch_unwind(AssertUnwindSafe(|| {
                place.begin(ctx.clone(), payload);
                place.poll(&mut cx)
            }))
        };
        let result = match polled {
            Ok(Poll::Ready(result)) => result,
            Ok(Poll::Pending) => {
                return Err(SuspendedHandler {
                    handling: place.take(),
                    running: ActiveEvent { ctx, span },
                    shared: self.shared.clone(),
                });
            }
            Err(panic) => {
                place.clear();
                Err(panicked(self.shared.event.full_name, panic.as_ref()))
            }
        };
        record(&span, &self.shared.counters, &result);
        ctx.end();
        self.spare = Some(ctx);
        Ok(result)
    }
}

impl SuspendedHandler {
    /// Waits for the handler.
    ///
    /// # Errors
    ///
    /// As [`EventHandler::handle`].
    pub(crate) async fn finish(self) -> Result<(), Status> {
        self.end(None).await
    }

    async fn end(self, mut pace: Option<&PollCost>) -> Result<(), Status> {
        // The handler is dropped first.
        let Self {
            shared,
            running,
            mut handling,
        } = self;
        let name = shared.event.full_name;
        let deadline = running.ctx.deadline();
        let caught = poll_fn(|cx| {
            let _entered = running.span.enter();
            let since = pace.take().map(|pace| (pace, Instant::now()));
            let polled = catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(cx)));
            if let Some((pace, since)) = since {
                pace.record(since.elapsed());
            }
            polled.unwrap_or_else(|panic| Poll::Ready(Err(panicked(name, panic.as_ref()))))
        });
        let result =
            match deadline {
                None => caught.await,
                Some(deadline) => match tokio::time::timeout_at(deadline.into(), caught).await {
                    Ok(result) => result,
                    Err(_) => Err(Reason::Deadline
                        .status(format!("the handler of {name} did not end in time"))),
                },
            };
        // Whatever its destructors say, the handler's end has been told already.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(handling)));
        record(&running.span, &shared.counters, &result);
        result
    }
}

impl Drop for ActiveEvent {
    fn drop(&mut self) {
        self.ctx.end();
    }
}

/// The span in which an event is handled.
fn begin(event: &EventDescriptor, ctx: &Context) -> Span {
    let span = observe::event_span(event.full_name, ctx.subject().unwrap_or_default());
    observe::extract(&span, ctx.trace());
    span
}

fn record(span: &Span, counters: &EventCounters, result: &Result<(), Status>) {
    let _entered = span.enter();
    counters.record(result);
}

fn panicked(name: &'static str, panic: &(dyn Any + Send)) -> Status {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    Reason::Panicked.status(format!("the handler of {name} panicked: {text}"))
}

impl fmt::Debug for EventHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHandler")
            .field("event", &self.event.full_name)
            .finish_non_exhaustive()
    }
}
