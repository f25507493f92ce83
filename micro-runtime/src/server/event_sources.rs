//! The events of a server: what is subscribed to beside the methods, and what must not be.

use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bus::Bus;
use crate::dispatch::{Route, ServerState};
use crate::error::{Error, ErrorKind};
use crate::event::{
    BoundSource, CoreSource, EventCounters, EventTarget, ExternalSource, SourceKind, SourceRun,
};
use crate::server::checks::check_token;
use crate::server::plan::PlannedSubscription;

/// The subscriptions of a server that is about to start.
pub(super) struct EventSources {
    external: Vec<Box<dyn ExternalSource>>,
    run: SourceRun,
    counters: Vec<Arc<EventCounters>>,
}

/// The subscriptions of a running server.
pub(super) struct StartedEventSources {
    pub(super) counters: Vec<Arc<EventCounters>>,
    /// Stops what takes events from outside of the bus when dropped.
    pub(super) stop: DropGuard,
}

impl EventSources {
    /// Adds a plan for each subscription of the bus, behind those of the methods.
    pub(super) fn plan(
        sources: Vec<BoundSource>,
        bus: &Bus,
        shared: &ServerState,
        plans: &mut Vec<PlannedSubscription>,
    ) -> Result<Self, Error> {
        let run = SourceRun {
            bus: bus.clone(),
            tasks: shared.tasks.clone(),
            stop: CancellationToken::new(),
            end: shared.end.clone(),
            call_subjects: plans.iter().map(|plan| plan.subject.clone()).collect(),
        };
        let mut subscriptions = Self {
            external: Vec::new(),
            run,
            counters: Vec::new(),
        };
        for BoundSource(kind) in sources {
            match kind {
                SourceKind::Core(source) => plans.push(subscriptions.core(source)?),
                SourceKind::External(source) => {
                    let counters = &source.handler().counters;
                    subscriptions.counters.push(Arc::clone(counters));
                    subscriptions.external.push(source);
                }
            }
        }
        Ok(subscriptions)
    }

    fn core(&mut self, source: CoreSource) -> Result<PlannedSubscription, Error> {
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
        counters.name(&subject, source.queue.as_deref());
        self.counters.push(Arc::clone(counters));
        let target = EventTarget::start(
            source.handler,
            source.order,
            source.settings,
            bus.prefix_len(),
            &self.run.tasks,
            self.run.end.clone(),
        );
        Ok(PlannedSubscription {
            subject,
            queue: source.queue,
            target: Route::Events(target),
        })
    }

    /// Starts what takes events from outside of the bus; all of it stops if one part fails.
    pub(super) async fn start(self) -> Result<StartedEventSources, Error> {
        let stop = self.run.stop.clone().drop_guard();
        for source in self.external {
            source.start(self.run.clone()).await?;
        }
        Ok(StartedEventSources {
            counters: self.counters,
            stop,
        })
    }
}
