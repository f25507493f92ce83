//! The events of a server: what is subscribed to beside the methods, and what must not be.

use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bus::Bus;
use crate::dispatch::{Shared, Target};
use crate::error::{Error, ErrorKind};
use crate::event::{
    CoreSource, EventCounters, EventTarget, ExternalSource, Kind, Source, SourceRun,
};
use crate::server::checks::check_token;
use crate::server::plan::Plan;

/// The subscriptions of a server that is about to start.
pub(super) struct Subscriptions {
    external: Vec<Box<dyn ExternalSource>>,
    run: SourceRun,
    counters: Vec<Arc<EventCounters>>,
}

/// The subscriptions of a running server.
pub(super) struct Subscribed {
    pub(super) counters: Vec<Arc<EventCounters>>,
    /// Stops what takes events from outside of the bus when dropped.
    pub(super) stop: DropGuard,
}

impl Subscriptions {
    /// Adds a plan for each subscription of the bus, behind those of the methods.
    pub(super) fn plan(
        sources: Vec<Source>,
        bus: &Bus,
        shared: &Shared,
        plans: &mut Vec<Plan>,
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
        for Source(kind) in sources {
            match kind {
                Kind::Core(source) => plans.push(subscriptions.core(source)?),
                Kind::External(source) => {
                    let counters = &source.handler().counters;
                    subscriptions.counters.push(Arc::clone(counters));
                    subscriptions.external.push(source);
                }
            }
        }
        Ok(subscriptions)
    }

    fn core(&mut self, source: CoreSource) -> Result<Plan, Error> {
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
        Ok(Plan {
            subject,
            queue: source.queue,
            target: Target::Events(target),
        })
    }

    /// Starts what takes events from outside of the bus; all of it stops if one part fails.
    pub(super) async fn start(self) -> Result<Subscribed, Error> {
        let stop = self.run.stop.clone().drop_guard();
        for source in self.external {
            source.start(self.run.clone()).await?;
        }
        Ok(Subscribed {
            counters: self.counters,
            stop,
        })
    }
}
