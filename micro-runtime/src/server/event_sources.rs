//! `EventSources`: the events that a server handles, from the bus and from outside of it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::context::StopGuard;
use crate::dispatch::{Route, ServerState};
use crate::error::{Error, ErrorKind};
use crate::event::{
    BoundSource, CoreSource, EventCounters, EventDispatcher, ExternalSource, SourceKind,
    SourceScope,
};
use crate::server::checks::check_token;
use crate::server::planned_subscription::PlannedSubscription;

/// Event sources of a server that is about to start.
///
/// Subscriptions of the bus are planned, confirmed and stopped with those of the methods, and so lose no
/// event that the server was sent. Sources outside of the bus, durable consumers, have loops of their own,
/// and follow the signals of a [`SourceScope`].
pub(super) struct EventSources {
    external: Vec<Box<dyn ExternalSource>>,
    run: SourceScope,
    pub(super) counters: Vec<Arc<EventCounters>>,
}

/// Event sources of a running server.
pub(super) struct StartedEventSources {
    /// Counts of each subscription, in the order in which they were added.
    pub(super) counters: Vec<Arc<EventCounters>>,
    /// Stops the sources outside of the bus when dropped, and tells all handlers of it.
    pub(super) stop: StopGuard,
}

impl EventSources {
    /// Adds a plan for each subscription of the bus, behind those of the methods, and starts its workers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Service`] for a subject that covers calls of this server: its handler would get them
    /// as events.
    pub(super) fn plan(
        sources: Vec<BoundSource>,
        bus: &Bus,
        server: &ServerState,
        plans: &mut Vec<PlannedSubscription>,
    ) -> Result<Self, Error> {
        let memory = server.callers.memory();
        let run = SourceScope {
            bus: bus.clone(),
            tasks: server.tasks.clone(),
            begun: CancellationToken::new(),
            stop: server.stop.clone(),
            end: server.grace_ended.clone(),
            call_subjects: plans.iter().map(|plan| plan.subject.clone()).collect(),
            #[cfg(feature = "jetstream")]
            durables: Arc::default(),
            // A flood of events leaves memory for calls.
            memory: memory.share(memory.limit() / 2),
        };
        let mut planned = Self {
            external: Vec::new(),
            run,
            counters: Vec::new(),
        };
        for BoundSource(kind) in sources {
            match kind {
                SourceKind::Core(source) => plans.push(planned.plan_core(source)?),
                SourceKind::External(source) => {
                    let counters = &source.handler().counters;
                    planned.counters.push(Arc::clone(counters));
                    planned.external.push(source);
                }
            }
        }
        Ok(planned)
    }

    fn plan_core(&mut self, source: CoreSource) -> Result<PlannedSubscription, Error> {
        let name = source.handler.event.full_name;
        let subject = source.subject.map_err(|status| {
            let message = format!("a filter for {name} cannot be a subject");
            Error::new(ErrorKind::Service, message).with_source(status)
        })?;
        let bus = &self.run.bus;
        let subject = bus.subject(&subject);
        self.run.check_subject(name, &subject)?;
        if let Some(queue) = &source.queue {
            check_token("queue group", queue)?;
        }
        let counters = &source.handler.counters;
        counters.set_source(&subject, source.queue.as_deref());
        self.counters.push(Arc::clone(counters));
        let dispatcher =
            EventDispatcher::start(source.handler, source.order, source.settings, &self.run);
        Ok(PlannedSubscription {
            subject,
            queue: source.queue,
            route: Route::Events(dispatcher),
        })
    }

    /// Returns the sources of a server whose start has failed, which has none.
    pub(super) fn none(server: &ServerState) -> StartedEventSources {
        StartedEventSources {
            counters: Vec::new(),
            stop: server.stop.guard(),
        }
    }

    /// Starts the sources outside of the bus, which take events once all have started. If one fails, those that were
    /// started stop.
    ///
    /// # Errors
    ///
    /// Of the source, as when a stream does not exist.
    pub(super) async fn start(self) -> Result<StartedEventSources, Error> {
        let stop = self.run.stop.guard();
        for source in self.external {
            source.start(self.run.clone()).await?;
        }
        self.run.begun.cancel();
        Ok(StartedEventSources {
            counters: self.counters,
            stop,
        })
    }
}
