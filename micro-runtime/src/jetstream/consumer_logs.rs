//! `ConsumerLogs`: the log lines of one durable consumer, which publishers, handlers and NATS cause at any rate.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;

use crate::jetstream::api::ApiError;
use crate::jetstream::consumer::Consumer;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::log_limit::LogLimit;
use crate::printable::Printable;
use crate::status::{Reason, Status};

/// Logs of one durable consumer in this process. Each event that fails is a line at debug level besides.
pub(super) struct ConsumerLogs {
    /// Full name of the message.
    event: &'static str,
    /// Its stream and its name are in each line.
    consumer: Arc<Consumer>,
    /// Of handlers that panicked, with the delay until the redelivery.
    panics: LogLimit,
    /// Of handlers that returned an error, or exceeded their timeout.
    failures: LogLimit,
    /// Of events that no process handles any more.
    given_up: LogLimit,
    /// Of acknowledgments that were not sent, since the connection was lost.
    unacknowledged: LogLimit,
    /// Of messages from others to the inbox of the deliveries.
    no_deliveries: LogLimit,
    /// Of searches for malformed events that JetStream does not let this user make.
    unsearchable: LogLimit,
}

impl ConsumerLogs {
    /// Returns those of a consumer of `event`, the full name of its message.
    pub(super) fn new(event: &'static str, consumer: &Arc<Consumer>) -> Self {
        Self {
            event,
            consumer: Arc::clone(consumer),
            panics: LogLimit::default(),
            failures: LogLimit::default(),
            given_up: LogLimit::default(),
            unacknowledged: LogLimit::default(),
            no_deliveries: LogLimit::default(),
            unsearchable: LogLimit::default(),
        }
    }

    /// Logs one failure of the handler, in one line however many `events` failed by it; `first` is one of them.
    pub(super) fn failed(
        &self,
        first: &PendingDelivery,
        events: usize,
        delay: Duration,
        status: &Status,
    ) {
        let is_panic = status.reason() == Some(Reason::Panicked);
        let (event, consumer) = (self.event, Arc::clone(&self.consumer));
        let (subject, status) = (first.subject.clone(), status.clone());
        let (sequence, deliveries) = (first.info.sequence(), first.info.count());
        tracing::debug!(
            event, subject = %Printable(&subject), sequence, deliveries, events, ?delay,
            status = %status.with_sources(), "an event is delivered again after the delay"
        );
        macro_rules! line {
            ($level:ident, $text:literal) => {
                move |count| {
                    tracing::$level!(
                        event, subject = %Printable(&subject), stream = &*consumer.stream,
                        consumer = consumer.name(), sequence, deliveries, ?delay, count,
                        status = %status.with_sources(), $text
                    );
                }
            };
        }
        match is_panic {
            true => self.panics.write_many(
                events as u64,
                line!(
                    error,
                    "the handler of an event panicked; the event is delivered again after the delay"
                ),
            ),
            false => self.failures.write_many(
                events as u64,
                line!(
                    warn,
                    "the handler of an event failed; the event is delivered again after the delay"
                ),
            ),
        }
    }

    /// Logs an event that is given up.
    pub(super) fn given_up(
        &self,
        delivery: &PendingDelivery,
        is_dead_lettered: bool,
        status: &Status,
    ) {
        let (event, consumer) = (self.event, Arc::clone(&self.consumer));
        let (subject, status) = (delivery.subject.clone(), status.clone());
        let (sequence, deliveries) = (delivery.info.sequence(), delivery.info.count());
        tracing::debug!(
            event, subject = %Printable(&subject), sequence, deliveries, is_dead_lettered,
            status = %status.with_sources(), "gave an event up"
        );
        self.given_up.write(move |count| {
            tracing::error!(
                event, subject = %Printable(&subject), stream = &*consumer.stream,
                consumer = consumer.name(), sequence, deliveries, is_dead_lettered, count,
                status = %status.with_sources(), "an event is given up"
            );
        });
    }

    /// Logs that an acknowledgment cannot be sent; no warning where the program has closed the bus before its server.
    pub(super) fn unacknowledged(&self) {
        if self.consumer.connection.is_closed() {
            tracing::debug!(
                "the connection is closed: handled events that were not acknowledged are delivered again"
            );
            return;
        }
        let (event, consumer) = (self.event, Arc::clone(&self.consumer));
        self.unacknowledged.write(move |count| {
            tracing::warn!(
                event, stream = &*consumer.stream, consumer = consumer.name(), count,
                "the connection is lost: handled events that were not acknowledged are delivered again"
            );
        });
    }

    /// Logs that events which cannot be received cannot be looked for.
    pub(super) fn unsearchable(&self, error: ApiError) {
        let (event, consumer) = (self.event, Arc::clone(&self.consumer));
        self.unsearchable.write(move |count| {
            tracing::error!(
                event, stream = &*consumer.stream, consumer = consumer.name(), count,
                error = %Printable(error),
                "cannot look for stored events whose headers cannot be read, which cut the connection off"
            );
        });
    }

    /// Logs a message on the consumer's inbox that is no delivery.
    pub(super) fn no_delivery(&self, subject: Subject) {
        let (event, consumer) = (self.event, Arc::clone(&self.consumer));
        self.no_deliveries.write(move |count| {
            tracing::warn!(
                event, stream = &*consumer.stream, consumer = consumer.name(), count,
                subject = %Printable(&subject), "dropped a message that is no delivery"
            );
        });
    }
}
