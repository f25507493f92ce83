//! `EventHandler`: runs a subscriber's handler for core and durable events, in place or in a task.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, TimeLimit};
use crate::descriptor::EventDescriptor;
use crate::event;
use crate::event::counters::EventCounters;
use crate::event::event::Event;
use crate::event::inline_slot::{ErasedSubscriber, InlineSlot};
use crate::event::observer::EventObserver;
use crate::event::subscriber::Subscriber;
use crate::execute::{
    BoxedHandler, DeadlinePolicy, Execution, HandlerFuture, Observer as _, PollCost,
};
use crate::status::{Reason, Status};

/// A subscriber without its types, as every source of events uses it: bytes in, a status out.
///
/// Decoding is part of the handler's future. So bytes that are no such event are an outcome of the
/// handler like any other, counted and reported in one place; and running a handler never panics, since
/// an [`Execution`] catches a panic of the decoder as well.
#[derive(Clone)]
#[doc(hidden)]
pub struct EventHandler {
    pub(crate) event: &'static EventDescriptor,
    pub(crate) counters: Arc<EventCounters>,
    pub(super) subscriber: Arc<dyn ErasedSubscriber>,
}

/// Handles events one after the other in place, that is, in the loop that reads them, and reuses memory
/// from event to event: of the handler's future ([`InlineSlot`]) and of the context.
pub(crate) struct InlineRunner {
    handler: EventHandler,
    /// Never locked. The mutex makes the runner `Sync`, since a task borrows the route that owns it across
    /// an `await`; the user's futures are only `Send`.
    slot: Mutex<Box<dyn InlineSlot>>,
    /// Context of the last event. The next event takes its memory (320 bytes) unless the user's code has
    /// kept a clone.
    reusable_context: Option<Context>,
}

/// The execution of an event's handler in a task, which can wait: from its beginning, or from where the
/// handler returned `Pending` in place.
pub(crate) struct EventExecution(
    Execution<BoxedHandler<'static, ()>, EventObserver<Arc<EventCounters>>>,
);

/// A handler at work in an inline slot.
struct InlineHandler<'a> {
    slot: &'a mut dyn InlineSlot,
    /// Present until the first poll, which puts the handler into the slot. Making the handler's future runs
    /// none of the user's code: decoding and the subscriber's function are part of the future.
    arguments: Option<(Context, Bytes)>,
}

impl EventHandler {
    /// Erases the type of a subscriber.
    pub(crate) fn new<E: Event>(subscriber: impl Subscriber<E>) -> Self {
        let subscriber = Arc::new(subscriber);
        let decode_and_handle = move |ctx: Context, payload: Bytes| {
            let subscriber = Arc::clone(&subscriber);
            async move {
                let event = event::decode::<E>(payload)?;
                let handled = subscriber.__shared_on_event(ctx, event).await;
                // A reason marks a status of the runtime. That of a call made by the handler must not
                // pass for this handler's own, or a timeout there would look like a timeout here.
                handled.map_err(|status| status.with_reason(None))
            }
        };
        Self {
            event: E::DESCRIPTOR,
            counters: Arc::new(EventCounters::new(E::DESCRIPTOR)),
            subscriber: Arc::new(decode_and_handle),
        }
    }

    /// Counts and logs an event whose key could not be computed.
    pub(super) fn key_panicked(&self, panic: &str) {
        let name = self.event.full_name;
        let text = format!("the key of {name} panicked: {panic}");
        self.counters.record(Some(&Reason::Panicked.status(text)));
    }

    /// Creates a runner for one loop that handles events in place.
    pub(crate) fn inline_runner(&self) -> InlineRunner {
        InlineRunner {
            slot: Mutex::new(Arc::clone(&self.subscriber).inline_slot()),
            reusable_context: None,
            handler: self.clone(),
        }
    }

    /// Prepares the handler of one event; nothing of it runs yet.
    pub(crate) fn execution(&self, ctx: Context, payload: Bytes) -> EventExecution {
        let counters = Arc::clone(&self.counters);
        let observer = EventObserver::new(self.event, counters, &ctx);
        let future = self.subscriber.boxed(ctx.clone(), payload);
        EventExecution(Execution::new(ctx, BoxedHandler::new(future), observer))
    }
}

impl InlineRunner {
    /// Takes the context of the last event, for [`event::receive`] to use its memory again.
    pub(crate) fn reusable_context(&mut self) -> Option<Context> {
        self.reusable_context.take()
    }

    /// Polls the handler of an event once. If it is ready, counts its outcome and returns it, as
    /// [`EventExecution::run`] does.
    ///
    /// The poll is not timed here. Two clock readings cost about as much as a short handler, so the caller
    /// times several polls together ([`PollTimer`](crate::execute::PollTimer)).
    ///
    /// # Errors
    ///
    /// The handler, if it is not ready. It has been polled with a waker that does nothing, so its owner
    /// must [run](EventExecution::run) it, or nothing would ever wake it. The slot is free for the next event.
    pub(crate) fn handle(
        &mut self,
        ctx: Context,
        payload: Bytes,
    ) -> Result<Result<(), Status>, EventExecution> {
        let EventHandler {
            event, counters, ..
        } = &self.handler;
        let slot = self.slot.get_mut().unwrap_or_else(PoisonError::into_inner);
        let inline = InlineHandler {
            slot: &mut **slot,
            arguments: Some((ctx.clone(), payload)),
        };
        let observer = EventObserver::new(event, &**counters, &ctx);
        let mut execution = Execution::new(ctx, inline, observer);
        let Poll::Ready(result) = execution.poll_once(None) else {
            let counters = Arc::clone(counters);
            return Err(EventExecution(execution.map(
                |inline| BoxedHandler::new(inline.slot.take()),
                |observer| observer.take_with_counters(counters),
            )));
        };
        execution.record(result.as_ref().err());
        self.reusable_context = execution.end();
        Ok(result)
    }
}

impl EventExecution {
    /// Returns the context of the handler.
    #[cfg(feature = "jetstream")]
    pub(crate) fn ctx(&self) -> Option<&Context> {
        self.0.ctx()
    }

    /// Runs the handler until the deadline of its context, and counts the outcome. Returns `None` and
    /// counts nothing if `stop` was canceled first: a durable event is delivered again then.
    ///
    /// The first poll is timed if there is a `cost`; `limit` is what the deadline follows from. Dropping the returned
    /// future drops the handler.
    ///
    /// # Errors
    ///
    /// The handler's status. A status with a [`Reason`] is the runtime's: the bytes are no
    /// such event, the handler panicked, or its deadline passed.
    pub(crate) async fn run(
        mut self,
        cost: Option<&PollCost>,
        stop: &CancellationToken,
        limit: Option<TimeLimit>,
    ) -> Option<Result<(), Status>> {
        let execution = &mut self.0;
        let completion = execution.run(cost, stop, DeadlinePolicy::Drop).await;
        let result = completion.into_outcome(execution.observer().full_name(), limit)?;
        execution.record(result.as_ref().err());
        Some(result)
    }
}

impl HandlerFuture for InlineHandler<'_> {
    // `InlineSlot::poll` frees the slot of a handler that is ready.
    const IS_CLEARED_WHEN_READY: bool = true;
    type Output = ();

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        if let Some((ctx, payload)) = self.arguments.take() {
            self.slot.fill(ctx, payload);
        }
        self.slot.poll(cx)
    }

    fn clear(&mut self) {
        self.slot.clear();
    }
}

impl fmt::Debug for EventHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHandler")
            .field("event", &self.event.full_name)
            .finish_non_exhaustive()
    }
}
