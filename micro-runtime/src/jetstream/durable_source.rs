//! `DurableSource`: a durable consumer as a source of a server's events, one at a time or in batches.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::event::{
    BoundSource, Event, EventHandler, EventSource, ExternalSource, SourceKind, SourceScope,
};
use crate::jetstream::ack_confirmation::AckConfirmation;
use crate::jetstream::acknowledger::Acknowledger;
use crate::jetstream::attempt_ledger::AttemptLedger;
use crate::jetstream::batch_handler::{BatchHandler, SingleEventBatches};
use crate::jetstream::batch_subscriber::BatchSubscriber;
use crate::jetstream::consumer::Consumer;
use crate::jetstream::consumer_logs::ConsumerLogs;
use crate::jetstream::consumer_loop::ConsumerLoop;
use crate::jetstream::dead_letters::DeadLetters;
use crate::jetstream::delivery_handler::{DeliveryHandler, SingleHandler};
use crate::jetstream::durable::{DEFAULT_MAX_CONCURRENT, Durable};
use crate::subject;

/// A durable consumer with its handler, which the server starts.
///
/// `handler` is the typed handler of single events, whose counters the server shows; `delivery_handler` is
/// the one that the consumer loop calls, which shares those counters.
struct DurableSource {
    durable: Durable,
    handler: EventHandler,
    delivery_handler: Arc<dyn DeliveryHandler>,
    /// Maximum number of handlers at a time.
    max_concurrent: usize,
    /// Maximum number of events that one handler gets together.
    max_batch: usize,
}

impl<E: Event> EventSource<E> for Durable {
    fn bind(self, handler: EventHandler) -> BoundSource {
        let source = DurableSource {
            delivery_handler: Arc::new(SingleHandler(handler.clone())),
            max_concurrent: self.max_concurrent.unwrap_or(DEFAULT_MAX_CONCURRENT),
            max_batch: 1,
            durable: self,
            handler,
        };
        BoundSource(SourceKind::External(Box::new(source)))
    }
}

/// Combines a subscriber of batches with its consumer. One batch is handled at a time by default, and an
/// ordered consumer has batches of one event.
pub(crate) fn bind_batches<E: Event>(
    subscriber: impl BatchSubscriber<E>,
    durable: Durable,
) -> BoundSource {
    let subscriber = Arc::new(subscriber);
    let handler = EventHandler::new::<E>(SingleEventBatches(Arc::clone(&subscriber)));
    let delivery_handler = BatchHandler {
        subscriber,
        counters: Arc::clone(&handler.counters),
        event: PhantomData,
    };
    let source = DurableSource {
        delivery_handler: Arc::new(delivery_handler),
        max_concurrent: durable.max_concurrent.unwrap_or(1),
        max_batch: if durable.is_ordered { 1 } else { durable.batch },
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
        scope: SourceScope,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> {
        Box::pin(self.run(scope))
    }
}

impl DurableSource {
    /// Checks the subject, creates the consumer and the stream of its dead letters, and spawns the loop.
    ///
    /// The order matters where one fails, which keeps the server from starting: a stream of dead letters
    /// without a consumer would be left behind, and a consumer that consumes before its dead letters can be
    /// stored could not give an event up.
    ///
    /// # Errors
    ///
    /// As [`Consumer::start`] and [`DeadLetters::start`]; [`ErrorKind::JetStream`] inside one process, and
    /// [`ErrorKind::Service`] if the filter covers the subject of a method of this server.
    async fn run(self: Box<Self>, scope: SourceScope) -> Result<(), Error> {
        scope.bus.consuming().jetstream_or_error()?;
        self.durable.check()?;
        let event = self.handler.event;
        let filter = scope.bus.subject(&self.filter()?);
        scope.check_subject(event.full_name, &filter)?;
        let name = self.durable.name.clone();
        let counters = &self.handler.counters;
        counters.set_source(&filter, Some(&name));
        counters.set_logged_by_source();
        let (durable, filter) = (&self.durable, filter.into_string());
        let consumer = Consumer::start(&scope.bus, durable, event.full_name, filter).await?;
        scope.claim_durable(&consumer.stream, &name)?;
        let consumer = Arc::new(consumer);
        consumer.follow_position(counters);
        let policy = &self.durable.dead_letter;
        let dead_letters = DeadLetters::start(&scope, &consumer, policy, counters).await?;
        let ledger = match self.durable.attempt_limit() {
            u64::MAX => None,
            _ => Some(AttemptLedger::start(&scope.bus, &consumer).await?),
        };
        let confirmation = Arc::new(AckConfirmation::new(&consumer, counters));
        let acknowledger = Acknowledger {
            _refused: Acknowledger::observe_refusals(&consumer, &confirmation),
            confirmation,
            logs: ConsumerLogs::new(event.full_name, &consumer),
            consumer,
            dead_letters,
            ledger,
            event,
            prefix_len: scope.bus.prefix_len(),
            counters: Arc::clone(counters),
            stop: scope.stop.clone(),
            durable: self.durable,
        };
        let (handler, workers) = (self.delivery_handler, self.max_concurrent);
        let consumer = ConsumerLoop::start(acknowledger, handler, workers, self.max_batch).await?;
        let tasks = scope.tasks.clone();
        scope.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = scope.begun.cancelled() => consumer.run(tasks, scope.end).await,
                // Another source has failed to start.
                () = scope.stop.wait() => {}
            }
        });
        Ok(())
    }

    /// Returns the subject to consume, without the bus's prefix.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`] for a filter that gives no subject, or is one of another event.
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
