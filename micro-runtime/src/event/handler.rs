//! `EventHandler`: a subscriber without its types. Decodes, calls and counts, whatever feeds it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::descriptor::EventDescriptor;
use crate::event;
use crate::event::counters::EventCounters;
use crate::event::event::Event;
use crate::event::inline_slot::{EventCall, InlineSlot};
use crate::event::observer::EventObserver;
use crate::event::subscriber::Subscriber;
use crate::execute::{
    BoxedHandler, Completion, DeadlinePolicy, Execution, HandlerFuture, Observer as _, PollCost,
    deadline_passed,
};
use crate::status::Status;

/// A subscriber without its types: bytes in, a status out. Never panics.
#[derive(Clone)]
#[doc(hidden)]
pub struct EventHandler {
    pub(crate) event: &'static EventDescriptor,
    pub(crate) counters: Arc<EventCounters>,
    pub(super) call: Arc<dyn EventCall>,
}

/// Handles one event after the other in place, without an allocation for each but its context.
pub(crate) struct InlineRunner {
    handler: EventHandler,
    /// Never locked: a runner may be moved from thread to thread, and no more.
    slot: Mutex<Box<dyn InlineSlot>>,
    /// Context of the last event, whose memory the next one may have.
    spare: Option<Context>,
}

/// A handler of an event that is to be polled where it can wait.
pub(crate) struct SuspendedHandler(
    Execution<BoxedHandler<'static, ()>, EventObserver<Arc<EventCounters>>>,
);

/// A handler at work in the slot that it is polled in; `arguments` until it has begun.
struct InlineHandler<'a> {
    slot: &'a mut dyn InlineSlot,
    arguments: Option<(Context, Bytes)>,
}

impl EventHandler {
    pub(crate) fn new<E: Event>(subscriber: impl Subscriber<E>) -> Self {
        let subscriber = Arc::new(subscriber);
        let call = move |ctx: Context, payload: Bytes| {
            let subscriber = Arc::clone(&subscriber);
            async move {
                let event = event::decode::<E>(payload)?;
                let handled = subscriber.__shared_on_event(ctx, event).await;
                // The reason of a nested call's failure is no reason of this handler's failure.
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
    pub(crate) fn inline(&self) -> InlineRunner {
        InlineRunner {
            slot: Mutex::new(Arc::clone(&self.call).slot()),
            spare: None,
            handler: self.clone(),
        }
    }

    /// Prepares the handler of one event; nothing of it runs yet.
    pub(crate) fn suspended(&self, ctx: Context, payload: Bytes) -> SuspendedHandler {
        let counters = Arc::clone(&self.counters);
        let observer = EventObserver::new(self.event, counters, &ctx);
        let future = self.call.begin(ctx.clone(), payload);
        SuspendedHandler(Execution::new(ctx, BoxedHandler::new(future), observer))
    }
}

impl InlineRunner {
    /// The context of the last event: the next one may have its memory.
    pub(crate) fn spare(&mut self) -> Option<Context> {
        self.spare.take()
    }

    /// Polls the handler of an event once, and counts it if it is ready: within, its outcome as
    /// [`SuspendedHandler::run`] returns it.
    ///
    /// # Errors
    ///
    /// The handler, if it has to wait.
    pub(crate) fn handle(
        &mut self,
        ctx: Context,
        payload: Bytes,
    ) -> Result<Result<(), Status>, SuspendedHandler> {
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
            return Err(SuspendedHandler(execution.suspend(
                |inline| BoxedHandler::new(inline.slot.take()),
                |observer| observer.with_counters(counters),
            )));
        };
        execution.record(result.as_ref().err());
        self.spare = execution.into_context();
        Ok(result)
    }
}

impl SuspendedHandler {
    /// Runs the handler until the deadline of its context, and counts it; `None` if `stop` was
    /// canceled first, which counts nothing.
    ///
    /// # Errors
    ///
    /// The handler's status; with a [`Reason`](crate::Reason), a failure that the runtime found: the
    /// bytes are no such event, the handler panicked, or its deadline passed.
    pub(crate) async fn run(
        mut self,
        cost: Option<&PollCost>,
        stop: &CancellationToken,
    ) -> Option<Result<(), Status>> {
        let execution = &mut self.0;
        let result = match execution.run(cost, stop, DeadlinePolicy::Drop).await {
            Completion::Returned(result) => result,
            Completion::DeadlinePassed => Err(deadline_passed(execution.observer().full_name())),
            Completion::Stopped => return None,
        };
        execution.record(result.as_ref().err());
        Some(result)
    }
}

impl HandlerFuture for InlineHandler<'_> {
    type Output = ();

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        if let Some((ctx, payload)) = self.arguments.take() {
            self.slot.begin(ctx, payload);
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
