//! `EventObserver`: span and counts of one event, or of a batch, that a handler got.

use std::borrow::Borrow;

use tracing::Span;

use crate::context::Context;
use crate::descriptor::EventDescriptor;
use crate::event::counters::EventCounters;
use crate::execute::Observer;
use crate::observe;
use crate::status::{Reason, Status};

/// Observes the handling of `events` events at a time. `C` lends the counters where the event is
/// handled in place, and shares them where the handler may outlive that place.
pub(crate) struct EventObserver<C> {
    event: &'static EventDescriptor,
    counters: C,
    span: Span,
    events: usize,
}

impl<C: Borrow<EventCounters>> EventObserver<C> {
    /// Observes one event.
    pub(crate) fn new(event: &'static EventDescriptor, counters: C, ctx: &Context) -> Self {
        Self::of_batch(event, counters, ctx, 1)
    }

    /// Observes `events` events that succeed or fail together.
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

    /// The same observer with the counters in another form.
    pub(super) fn with_counters<D>(self, counters: D) -> EventObserver<D> {
        EventObserver {
            event: self.event,
            counters,
            span: self.span,
            events: self.events,
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

    /// The text goes where a failure of the handler goes, too: counts, log and dead letters.
    fn panicked(&self, text: &str) -> Status {
        Reason::Panicked.status(format!(
            "the handler of {} panicked: {text}",
            self.event.full_name
        ))
    }

    fn record(&mut self, failure: Option<&Status>) {
        let _entered = self.span.enter();
        for _ in 0..std::mem::take(&mut self.events) {
            self.counters.borrow().record(failure);
        }
    }
}
