//! Durable subscriptions as sources of a server: one event at a time, or many.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::event::{
    BoundSource, Event, EventHandler, EventSource, ExternalSource, SourceKind, SourceScope,
};
use crate::jetstream::acknowledger::Acknowledger;
use crate::jetstream::batch::{BatchHandler, BatchSubscriber, SingleEventBatches};
use crate::jetstream::consumer::Consumer;
use crate::jetstream::consumer_loop::ConsumerLoop;
use crate::jetstream::dead_letter::DeadLetters;
use crate::jetstream::delivery_handler::{DeliveryHandler, SingleHandler};
use crate::jetstream::durable::{Durable, WORKERS};
use crate::subject;

/// A durable subscription with its handler, to be started.
struct DurableSource {
    durable: Durable,
    handler: EventHandler,
    jobs: Arc<dyn DeliveryHandler>,
    workers: usize,
    batch: usize,
}

impl<E: Event> EventSource<E> for Durable {
    fn bind(self, handler: EventHandler) -> BoundSource {
        let source = DurableSource {
            jobs: Arc::new(SingleHandler(handler.clone())),
            workers: self.workers.unwrap_or(WORKERS),
            batch: 1,
            durable: self,
            handler,
        };
        BoundSource(SourceKind::External(Box::new(source)))
    }
}

/// Ties a subscriber of batches to its consumer.
pub(crate) fn batches<E: Event>(
    subscriber: impl BatchSubscriber<E>,
    durable: Durable,
) -> BoundSource {
    let subscriber = Arc::new(subscriber);
    let handler = EventHandler::new::<E>(SingleEventBatches(Arc::clone(&subscriber)));
    let jobs = BatchHandler {
        subscriber,
        counters: Arc::clone(&handler.counters),
        event: PhantomData,
    };
    let source = DurableSource {
        jobs: Arc::new(jobs),
        workers: durable.workers.unwrap_or(1),
        batch: if durable.is_ordered { 1 } else { durable.batch },
        durable,
        handler,
    };
    BoundSource(SourceKind::External(Box::new(source)))
}

impl ExternalSource for DurableSource {
    fn handler(&self) -> &EventHandler {
        &self.handler
    }

    fn start(
        self: Box<Self>,
        run: SourceScope,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> {
        Box::pin(self.begin(run))
    }
}

impl DurableSource {
    async fn begin(self: Box<Self>, run: SourceScope) -> Result<(), Error> {
        run.bus.connection().jetstream_or_error()?;
        let event = self.handler.event;
        let filter = run.bus.subject(&self.filter()?);
        run.check_subject(event.full_name, &filter)?;
        let name = self.durable.name.clone();
        self.handler.counters.set_source(&filter, Some(&name));
        let consumer = Consumer::start(&run.bus, &self.durable, filter.into_string()).await?;
        let consumer = Arc::new(consumer);
        let dead_letters =
            DeadLetters::start(&run.bus, &consumer, &self.durable.dead_letter).await?;
        let settle = Acknowledger {
            consumer,
            dead_letters,
            event,
            prefix: run.bus.prefix().map_or(0, |prefix| prefix.len() + 1),
            counters: Arc::clone(&self.handler.counters),
            durable: self.durable,
        };
        let consumption = ConsumerLoop::start(settle, self.jobs, self.workers, self.batch).await?;
        let tasks = run.tasks.clone();
        run.tasks.spawn(consumption.run(tasks, run.stop, run.end));
        Ok(())
    }

    /// The subject to consume, without the bus's prefix.
    fn filter(&self) -> Result<String, Error> {
        let event = self.handler.event;
        let pattern = event.pattern();
        let unusable = |text: String| Error::new(ErrorKind::JetStream, text);
        match &self.durable.filter {
            None => Ok(pattern),
            Some(Err(status)) => {
                let text = format!(
                    "the filter of consumer `{}` is none: {status}",
                    self.durable.name
                );
                Err(unusable(text))
            }
            Some(Ok(filter)) if subject::overlap(filter, &pattern) => Ok(filter.clone()),
            Some(Ok(filter)) => Err(unusable(format!(
                "the filter `{filter}` of consumer `{}` picks no {}",
                self.durable.name, event.full_name
            ))),
        }
    }
}
