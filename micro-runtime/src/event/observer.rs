//! `EventObserver`: span and counts of the execution of one event's handler, or of one batch's.

use std::borrow::Borrow;

use tracing::Span;

use crate::context::Context;
use crate::descriptor::EventDescriptor;
use crate::event::counters::EventCounters;
use crate::execute::Observer;
use crate::observe;
use crate::status::{Reason, Status};

/// Span and counts of one execution, for one event or for a batch of them.
///
/// `C` is `&EventCounters` for an event that is handled in place, which saves the two atomic operations
/// of an `Arc`, and `Arc<EventCounters>` for a handler that may outlive the loop that started it.
pub(crate) struct EventObserver<C> {
    event: &'static EventDescriptor,
    counters: C,
    span: Span,
    events: usize,
}

impl<C: Borrow<EventCounters>> EventObserver<C> {
    /// Creates the observer of one event, with a span that names the event and its subject.
    pub(crate) fn new(event: &'static EventDescriptor, counters: C, ctx: &Context) -> Self {
        Self::of_batch(event, counters, ctx, 1)
    }

    /// Creates the observer of a batch: `events` events that succeed or fail together, each counted.
    pub(crate) fn of_batch(
        event: &'static EventDescriptor,
        counters: C,
        ctx: &Context,
        events: usize,
    ) -> Self {
        Self {
            span: observe::event_span(event.full_name, ctx.subject().unwrap_or_default()),
            event,
            counters,
            events,
        }
    }

    /// Moves the span and the events to count into an observer with shared counters, when a handler leaves
    /// the loop that started it. Nothing is left to observe for this one.
    pub(super) fn take_with_counters<D>(&mut self, counters: D) -> EventObserver<D> {
        EventObserver {
            event: self.event,
            counters,
            span: std::mem::replace(&mut self.span, Span::none()),
            events: std::mem::take(&mut self.events),
        }
    }
}

impl<C: Borrow<EventCounters> + Send> Observer for EventObserver<C> {
    fn full_name(&self) -> &'static str {
        self.event.full_name
    }

    fn span(&self) -> &Span {
        &self.span
    }

    /// Returns a status with the panic's text. Unlike a call's it may be kept: it goes to no peer but to
    /// the log, the counts and the dead letters, where operators need it.
    fn panicked(&self, text: &str) -> Status {
        Reason::Panicked.status(format!(
            "the handler of {} panicked: {text}",
            self.event.full_name
        ))
    }

    fn destructor_panicked(&self, text: &str) {
        self.counters.borrow().log_destructor_panic(text);
    }

    fn record(&mut self, failure: Option<&Status>) {
        let _entered = self.span.enter();
        for _ in 0..std::mem::take(&mut self.events) {
            self.counters.borrow().record(failure);
        }
    }
}
